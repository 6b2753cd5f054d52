# Tests registered here: see tests/CMakeLists.txt.
