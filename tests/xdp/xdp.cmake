# XDP in network namespaces that the tests make; they need root.
if(NOT PADDOCK_HAVE_XDP)
    return()
endif()

paddock_bpf(pass ${CMAKE_CURRENT_LIST_DIR}/pass.bpf.c)

add_library(paddock_test_netns STATIC xdp/frame.c xdp/netns.c)
paddock_target(paddock_test_netns 17)
target_include_directories(paddock_test_netns PUBLIC ${PROJECT_SOURCE_DIR}/tests)

# paddock_xdp_test(NAME LINK library...): tests/xdp/test_NAME.c as the test paddock.xdp.NAME. Exit code 77 is a skip.
function(paddock_xdp_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    add_executable(paddock_xdp_test_${name} xdp/test_${name}.c)
    paddock_target(paddock_xdp_test_${name} 17)
    target_link_libraries(paddock_xdp_test_${name} PRIVATE ${arg_LINK} paddock_test_netns PkgConfig::PADDOCK_CMOCKA)
    add_test(NAME paddock.xdp.${name} COMMAND ${PADDOCK_ALONE} $<TARGET_FILE:paddock_xdp_test_${name}>)
    set_tests_properties(paddock.xdp.${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 120 LABELS xdp)
endfunction()

paddock_xdp_test(attach LINK paddock_xdp_attach paddock_bpf_pass)
# The program with what the tests of it share.
add_library(paddock_test_program STATIC xdp/program.c)
paddock_target(paddock_test_program 17)
target_include_directories(paddock_test_program PUBLIC ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(paddock_test_program PUBLIC paddock_qcmp paddock_test_netns
                      PkgConfig::PADDOCK_CMOCKA)

paddock_xdp_test(clock LINK paddock_test_program)
paddock_xdp_test(responder LINK paddock_test_program)
paddock_xdp_test(rules LINK paddock_test_program)
paddock_xdp_test(addresses LINK paddock_fastpath -Wl,--wrap=netlink_list)
paddock_xdp_test(routes LINK paddock_fastpath)
paddock_xdp_test(tap LINK paddock_fastpath)
paddock_xdp_test(xdp LINK paddock_qcmp -Wl,--wrap=fastpath_device_read,--wrap=guard_driver_apply,--wrap=fastpath_addresses_list)
paddock_xdp_test(proxy LINK paddock_proxy paddock_test_program -Wl,--wrap=fastpath_cpus_fd,--wrap=fastpath_part_set,--wrap=fastpath_port_add,--wrap=fastpath_monotonic_offset_ns,--wrap=fastpath_doors,--wrap=fastpath_watch_departures)
