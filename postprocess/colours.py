"""One colour for each field, in figures and in 3-D: Okabe and Ito's set (https://jfly.uni-koeln.de/color/).

Imports nothing, so that ParaView's Python can use it too.
"""

#: Colour by field; what combines fields stands under its own name.
COLOURS = {
    "C": "#0072B2",  # blue
    "E": "#D55E00",  # vermilion
    "TA": "#009E73",  # green
    "TB": "#CC79A7",  # purple
    "S": "#56B4E9",  # sky blue
    "A": "#E69F00",  # orange
    "H": "#999999",  # grey
    "C + E": "#0072B2",
    "TA + TB": "#000000",
    "TB / (TA + TB)": "#CC79A7",
}

#: Of the tumour burden, and of the share of it without the antigen, of any model.
BURDEN, SHARE = COLOURS["TA + TB"], COLOURS["TB / (TA + TB)"]

#: Of fields that are not in the list above: the same for the same name.
OTHERS = ("#882255", "#117733", "#332288", "#AA4499", "#44AA99", "#999933")
