"""Exact solutions to test against."""

import numpy as np
from scipy.fft import dctn, idctn


def backward_euler_by_cosines(b, diffusivity, dt, spacing):
    """Solve (I - dt D Laplacian_h) u = b on a box with zero-flux walls; the seven-point stencil's own eigenvectors.

    b has shape (nz, ny, nx); spacing is (hx, hy, hz).
    """
    nz, ny, nx = b.shape
    eigenvalue = sum(
        np.expand_dims(2.0 * (1.0 - np.cos(np.pi * np.arange(n) / n)) / h**2, [a for a in range(3) if a != axis])
        for axis, n, h in zip((2, 1, 0), (nx, ny, nz), spacing, strict=True)
    )
    return idctn(dctn(b, type=2, norm="ortho") / (1.0 + dt * diffusivity * eigenvalue), type=2, norm="ortho")
