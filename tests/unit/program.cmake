# Tests registered here: see tests/CMakeLists.txt.
if(PADDOCK_BUILD_PROGRAM)
    foreach(name clock duration log number options stats target text)
        paddock_unit_test(base ${name} LINK paddock_base)
    endforeach()
    paddock_unit_test(config config LINK paddock_config)
endif()
