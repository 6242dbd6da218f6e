// Tissue crossed by a thin wall (a vessel, a septum): bricks, drawn out along x so that the wall is resolved.
// Where the wall is says meshes/barrier.vti; lengths in cm.
DefineConstant[
  width  = {0.2, Name "edge across"}
  across = {4, Name "cells across"}
];

// Along x: tissue, wall from 0.40 to 0.45, tissue.
Point(1) = {0, 0, 0};
Point(2) = {0, width, 0};
Point(3) = {0, width, width};
Point(4) = {0, 0, width};
Line(1) = {1, 2};
Line(2) = {2, 3};
Line(3) = {3, 4};
Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Transfinite Curve{1:4} = across + 1;
Transfinite Surface{1};
Recombine Surface{1};

before() = Extrude {0.40, 0, 0} { Surface{1}; Layers{{12, 8}, {0.75, 1}}; Recombine; };
wall() = Extrude {0.05, 0, 0} { Surface{before(0)}; Layers{8}; Recombine; };
after() = Extrude {0.55, 0, 0} { Surface{wall(0)}; Layers{{8, 18}, {0.2, 1}}; Recombine; };
