// A cube of tetrahedra, finer in one corner.
SetFactory("OpenCASCADE");
Box(1) = {0, 0, 0, 1, 1, 1};
MeshSize{ PointsOf{ Volume{1}; } } = 0.3;
MeshSize{ 1 } = 0.12;
