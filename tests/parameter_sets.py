"""Parameter sets with behaviour that Table 1's ranges do not show; found by random search over thirtyfold ranges.

Each is the normalised set with other values; densities in K_T, time in days.
"""

from carmodel.models.polyakov import PRESETS

_P = PRESETS["normalised"]

#: E_T is invaded by few CAR-T cells; three states E_CT, the outer two stable.
THREE = _P._replace(
    D_C=0.0025, D_E=0.00025, D_T=9.85e-05, D_S=0.00545, D_A=0.00102, D_H=0.867, rho_C=17.5, K_C=8.72, delta_CT=0.114,
    d_C=0.00303, k_e0=0.00717, beta_A=0.0791, beta_H=0.189, p_r=2.63, d_E=0.277, r_T=0.107, gamma=1.58, mu_0=0.442,
    nu=0.09, mu_1=0.296, xi=5.02, d_TA=0.00157, d_TB=0.0721, sigma_S=1.8, lambda_S=0.0544, sigma_A=0.0792,
    sigma_M=0.669, K_H=0.227, lambda_A=6.12, eta=0.0393, lambda_H=1.05, chi_0=0.182, alpha_A=0.0679,
)  # fmt: skip

#: One E_CT, around which the homogeneous system oscillates for ever.
OSCILLATING = _P._replace(
    D_C=0.00575, D_E=0.0147, D_T=0.000205, D_S=0.0306, D_A=0.311, D_H=0.0668, rho_C=8.62, K_C=2.03, delta_CT=1.87,
    d_C=0.0031, k_e0=0.0918, beta_A=0.678, beta_H=2.88, p_r=2.31, d_E=0.0019, r_T=0.03, gamma=6.3, mu_0=1.18,
    nu=0.0103, mu_1=0.069, xi=0.156, d_TA=0.00109, d_TB=0.00259, sigma_S=0.264, lambda_S=5.93, sigma_A=0.832,
    sigma_M=0.417, K_H=1.26, lambda_A=13.3, eta=4.45, lambda_H=0.0667, chi_0=0.647, alpha_A=0.224,
)  # fmt: skip

#: E_0 is stable and there is no E_T, but a stable E_CT with a burden of 0.38: CAR-T cells turn the tumour into
#: antigen-negative cells, which die slowly.
TUMOUR_ONLY_WITH_CART = _P._replace(
    D_C=0.000565, D_E=5.93e-05, D_T=7.82e-05, D_S=0.0248, D_A=0.000888, D_H=0.294, rho_C=13.6, K_C=0.0241,
    delta_CT=0.382, d_C=0.00341, k_e0=0.0172, beta_A=1.58, beta_H=0.0336, p_r=1.0, d_E=0.121, r_T=0.00545, gamma=1.29,
    mu_0=1.54, nu=0.0864, mu_1=0.556, xi=37.5, d_TA=0.179, d_TB=0.000849, sigma_S=0.0314, lambda_S=1.4, sigma_A=2.11,
    sigma_M=0.0148, K_H=0.723, lambda_A=0.0442, eta=0.00951, lambda_H=2.3, chi_0=2.48, alpha_A=5.35,
)  # fmt: skip

#: E_T is stable against few CAR-T cells, and a stable E_CT is there for many.
MANY_CART_PERSIST = _P._replace(
    D_C=0.0154, D_E=4.64e-05, D_T=3.33e-05, D_S=0.0584, D_A=0.0294, D_H=0.855, rho_C=4.48, K_C=0.0399,
    delta_CT=0.0194, d_C=0.0171, k_e0=0.477, beta_A=5.46, beta_H=0.139, p_r=0.799, d_E=0.135, r_T=0.00537, gamma=3.86,
    mu_0=0.035, nu=0.709, mu_1=0.384, xi=2.08, d_TA=0.00174, d_TB=0.000821, sigma_S=0.0345, lambda_S=0.0484,
    sigma_A=17.0, sigma_M=0.549, K_H=0.35, lambda_A=0.237, eta=0.0843, lambda_H=2.45, chi_0=0.345, alpha_A=26.0,
)  # fmt: skip

#: A stable E_CT that taxis turns unstable at its own chi_0, at wavelengths near 1 cm.
TAXIS_DRIVEN = _P._replace(
    D_C=0.0101, D_E=0.0103, D_T=7.04e-06, D_S=0.00293, D_A=0.0116, D_H=1.4, rho_C=0.0348, K_C=0.0429,
    delta_CT=0.0261, d_C=0.0912, k_e0=0.0258, beta_A=30.5, beta_H=2.56, p_r=0.0181, d_E=0.00134, r_T=0.529,
    gamma=0.0315, mu_0=0.124, nu=0.557, mu_1=0.943, xi=0.186, d_TA=0.019, d_TB=0.26, sigma_S=1.16, lambda_S=0.0204,
    sigma_A=0.231, sigma_M=0.0575, K_H=0.164, lambda_A=19.3, eta=1.64, lambda_H=10.3, chi_0=0.631, alpha_A=25.4,
)  # fmt: skip

#: Stable E_T: few CAR-T cells die out beside a tumour, as at Table 1's own ratio of rho_C to delta_CT K_C.
CART_DIE_OUT = _P._replace(K_C=8.3)
