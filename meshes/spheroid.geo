// A tumour spheroid in a cube of tissue, refined at its rim.  Tetrahedra; lengths in cm.
//   gmsh -3 meshes/spheroid.geo -setnumber fine 0.03 -o finer.msh
SetFactory("OpenCASCADE");
DefineConstant[
  edge   = {1.2, Name "edge of the cube"}
  radius = {0.5, Name "radius of the spheroid"}
  fine   = {0.05, Name "cell size at the rim"}
  coarse = {0.15, Name "cell size far from it"}
];

Box(1) = {0, 0, 0, edge, edge, edge};
Sphere(2) = {edge/2, edge/2, edge/2, radius};
BooleanFragments{ Volume{1}; Delete; }{ Volume{2}; Delete; }

rim() = Boundary{ Volume{2}; };
Field[1] = Distance;
Field[1].SurfacesList = {rim()};
Field[1].Sampling = 60;
Field[2] = Threshold;
Field[2].InField = 1;
Field[2].SizeMin = fine;
Field[2].SizeMax = coarse;
Field[2].DistMin = 0.05;
Field[2].DistMax = 0.35;
Background Field = 2;
Mesh.MeshSizeExtendFromBoundary = 0;
Mesh.MeshSizeFromPoints = 0;
