"""Checks a Gmsh script: it may describe a geometry and how to mesh it, and nothing else.

Gmsh's language also runs programs, and reads and writes files.  Every such command takes a string, so strings are
accepted only as names, labels and formulas; and every word must be one of a list, or a name that the script defines.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Token(NamedTuple):
    """A piece of a script: its kind is "word", "number", "string" or "sign"."""

    kind: str
    text: str
    line: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f]+)
    | (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>"[^"]*"|'[^']*')
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
    | (?P<sign>\.\.\.|::|\|\||&&|\+\+|--|==|!=|<=|>=|>>|<<|[-+*/]=|/(?!\*)|[][(){}<>=+\-*%^!?:;,.~\#&|@])""",
    re.VERBOSE | re.DOTALL,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ACCEPTED = _words("""
    newreg newp newl newc newll newcl news newsl newv newf Pi Rand Printf
    Abs Acos ArcCos ArcSin ArcTan ArcTan2 Asin Atan Atan2 Ceil Cos Cosh Exp Fabs Find Floor Fmod Hypot LinSpace List
    Log Log10 LogSpace Max Min Modulo Round Sin Sinh Sqrt Step Tan Tanh Unique Exists
    DefineConstant DefineNumber UndefineConstant SetMaxTag GMSH_MAJOR_VERSION GMSH_MINOR_VERSION GMSH_PATCH_VERSION
    Name Label Help Choices Range Visible ReadOnly Closed AutoCheck Highlight
    If ElseIf Else EndIf For In EndFor Macro Function Return Call
    AdaptMesh Affine Alternate AlternateLeft AlternateRight BSpline Background Beta Bezier Block BooleanCoherence
    BooleanCommon BooleanCut BooleanDifference BooleanFragments BooleanFuse BooleanIntersection BooleanSection
    BooleanUnion Boundary BoundaryLayer BoundingBox Box Bump CatmullRom CenterOfMass Chamfer Characteristic Circle
    ClassifySurfaces Closest Coherence Color CombinedBoundary Compound Cone Coordinates CreateGeometry
    CreateTopology Curvature Curve Cylinder Delete Dilate Disk Duplicata Ellipse Ellipsis Ellipsoid Elliptic
    Embedded Euclidean Extrude Field Fillet General Geometry HealShapes Hide Hole Intersect Knots Layers Left Length
    Line Loop Mass MatrixOfInertia Mesh MeshAlgorithm MeshSize MeshSizeFromBoundary Model Normal Nurbs Order
    OrientedBoundary Parametric Parent Periodic Physical Physicals Plane Point PointsOf PolarSphere Power
    Progression Quad QuadTriAddVerts QuadTriNoNewVerts Quadric RecombLaterals Recombine RecombineMesh Rectangle
    Recursive RefineMesh RelocateMesh RenumberMeshElements RenumberMeshNodes ReorientMesh Reverse ReverseMesh Right
    Rotate Ruled ScaleLastLayer SetFactory SetOrder Sewing Show Slide Smoother Sphere Spline Split Surface Symmetry
    ThickSolid ThruSections Torus TransfQuadTri TransformMesh Transfinite Translate Using Volume Wedge Wire
""")

# What is said of words that no script may use, not even for a name of its own.
_REFUSED = {
    word: what
    for what, words in {
        "runs a program": "NonBlockingSystemCall OnelabAction OnelabRun SendToServer System SystemCall",
        "reads a file": "FileExists Include ListFromFile Merge MergeWithBoundingBox ShapeFromFile",
        "writes a file": "CreateDir Print Save",
        "ends Gmsh": "Abort Exit",
        "reaches beyond the mesh": "Combine Plugin PostProcessing Solver SyncModel View",
        "makes a text": "AbsolutePath CodeName CurrentDir CurrentDirectory CurrentFileName DefineString DirName "
        "FixRelativePath GetForcedStr GetString GetStringValue GmshExecutableName LowerCase LowerCaseIn N2S "
        "NameToString S2N SetString Sprintf Str StrCat StrChoice StrCmp StrFind StrLen StrPrefix StrRelative "
        "StrReplace StrSub StringToName Today UpperCase",
        "asks for what is not in the file": "GetEnv GetForced GetNumber GetValue",
    }.items()
    for word in words.split()
}

# Kinds of Field without those that read files (Structured, PostView) or run programs (ExternalProcess).
_FIELDS = _words("""
    Attractor AttractorAnisoCurve AutomaticMeshSizeField Ball BoundaryLayer Box Constant Curvature Cylinder Distance
    Extend Frustum Gradient IntersectAniso Laplacian LonLat MathEval MathEvalAniso Max MaxEigenHessian Mean Min MinAniso
    Octree Param Restrict Threshold
""")
_FORMULAS = _words("F FX FY FZ M11 M12 M13 M22 M23 M33 m11 m12 m13 m22 m23 m33")
_LABELS = _words("Name Label Help")
_FACTORIES = ("OpenCASCADE", "Built-in")

# Of Gmsh's options, numbers all: those of two groups, and of the group General what does no more than it says.
_OPTIONS = {
    "Mesh": None,
    "Geometry": None,
    "General": _words("""
        AbortOnError Axes BoundingBoxSize ExpertMode InitialModule MaxX MaxY MaxZ MinX MinY MinZ NumThreads RotationX
        RotationY RotationZ Terminal Trackball TrackballX TrackballY TrackballZ Verbosity
    """),
}

# Gmsh, which looks for the end of a branch by characters, may go on in the middle of such a word.
_HIDES_A_WORD = re.compile(r"\d(?:EndIf|EndFor|ElseIf|Else|If|For|Return|Macro|Function)")
_LONGEST_STRING = 500  # Gmsh cuts strings after 1023 bytes, and takes the rest for commands
_FORMAT = re.compile(r"(?:[^%]|%%|%[-+ 0#]?\d{0,2}(?:\.\d{0,2})?[gGeEf])*")


def checked_script(text: str) -> str:
    """A script that does what the given one does, lines as they are, without its comments.

    Where Gmsh skips a branch it does not see words but characters: without comments, and with blanks between all words,
    it reads what was checked here.

    Raises ValueError, which names the line, where the script does more than describe a mesh.
    """
    tokens = list(_tokens(text))
    defined = _defined(tokens)
    lines: list[list[str]] = [[]]
    owners: list[str] = []  # the word before each bracket that is open
    owner = ""  # and before the one that was closed last
    for n, token in enumerate(tokens):
        before = [""] * (3 - n) + [other.text for other in tokens[max(0, n - 3) : n]]
        if token.text in ("(", "[", "{"):
            owners.append(before[-1])
        elif token.text in (")", "]", "}"):
            owner = owners.pop() if owners else ""
        found = ""
        if token.kind == "string":
            found = _wrong_string(token.text, before, owner)
        elif token.kind == "word":
            found = _wrong_word(token.text, before, owner, defined)
        if found:
            raise ValueError(f"line {token.line}: {found}")
        lines += [[] for _ in range(token.line - len(lines))]
        lines[-1].append(token.text)
    return "\n".join(map(" ".join, lines)) + "\n"


def _tokens(text: str) -> Iterator[Token]:
    line, at = 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            unended = {'"': "a string", "'": "a string", "/": "a comment"}.get(text[at])
            raise ValueError(f"line {line}: {f'{unended} without an end' if unended else f'a stray {text[at]!r}'}")
        if match.lastgroup not in ("space", "comment"):
            yield Token(str(match.lastgroup), match.group(), line)
        line += match.group().count("\n")
        at = match.end()


def _defined(tokens: list[Token]) -> set[str]:
    """Words that a script gives a meaning of its own: variables, lists and macros."""
    texts = ["", *(token.text for token in tokens), ""]
    given = ("=", "+=", "(", "[", "~")
    return {
        token.text
        for before, token, after in zip(texts, tokens, texts[2:], strict=False)
        if token.kind == "word" and (after in given or before in ("For", "Macro", "Function"))
    }


def _wrong_word(word: str, before: list[str], owner: str, defined: set[str]) -> str:
    """What is wrong with a word after three others, with `owner` before the bracket closed last; "" if nothing."""
    if before[-1] == ".":
        options = _OPTIONS.get(before[-2], _words(""))
        if (before[-2] == "]" and owner == "Field") or options is None or word in options or word == "Color":
            return ""
        return f"'{before[-2]}.{word}' is no option that a mesh needs"
    if before[-2:] == ["]", "="] and owner == "Field":
        return "" if word in _FIELDS else f"a Field of kind '{word}' is none that stays within the file"
    if word in _REFUSED:
        return f"'{word}' {_REFUSED[word]}"
    if _HIDES_A_WORD.search(word):
        return f"'{word}' is no name that Gmsh always reads whole"
    stem = re.sub(r"(_\d+)+$", "", word)  # x~{3} defines x_3
    if word in _ACCEPTED or word in defined or stem in defined or before[-1] in ("Color", "Call"):
        return ""
    return f"'{word}' is no command that describes a mesh, and no name defined here"


def _wrong_string(string: str, before: list[str], owner: str) -> str:
    """What is wrong with a string after three words, with `owner` before the bracket closed last; "" if nothing."""
    text = string[1:-1]
    if len(text.encode()) > _LONGEST_STRING or any(mark in text for mark in ("\n", "\r", "'", '"', "\\", "//", "/*")):
        return "a string that is long, or has quotes, line ends or slashes in it"
    if before[-2:] == ["SetFactory", "("]:
        return "" if text in _FACTORIES else f"SetFactory of '{text}'"
    is_name = before[-3] == "Physical" and before[-1] == "("
    is_label = before[-1] in _LABELS
    is_choice = before[-1] == "=" and before[-2].isdigit() and before[-3] in ("{", ",")
    is_formula = before[-1] == "=" and before[-2] in _FORMULAS and before[-3] == "." and owner == "Field"
    is_message = before[-2:] == ["Printf", "("] and _FORMAT.fullmatch(text)
    is_all = before[-1] in ("Show", "Hide") and text == "*"
    if is_all or is_name or is_label or is_choice or is_formula or is_message:
        return ""
    return f"{string[:40]} stands where a mesh needs no text"
