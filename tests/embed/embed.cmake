# libqcmp as other people use it: installed, found, linked, embedded. Not with sanitizers or coverage, whose runtimes the
# programs outside this build do not have.
if(PADDOCK_SANITIZE OR PADDOCK_COVERAGE OR NOT PADDOCK_INSTALL)
    return()
endif()
foreach(case find_package find_package_static pkg_config_shared pkg_config_static add_subdirectory
             symbols_shared symbols_static headers parent_exports_its_own library_only one_kind_alone package_version abi_can_grow
             amalgamation unity shared_by_default)
    add_test(NAME paddock.embed.${case} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/embed.py ${case}
                                                ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
    set_tests_properties(paddock.embed.${case} PROPERTIES LABELS embed TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()
