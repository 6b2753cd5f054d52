# Real processes over real sockets, driven from Python's standard library.
#
# paddock_integration_test(NAME [TIMEOUT seconds] [ENVIRONMENT NAME=value;...]): tests/integration/test_NAME.py as the test
# paddock.integration.NAME.
# Exit code 77 is a skip. Sanitizers slow things down, so that the bulky tests count half as far.
if(NOT PADDOCK_BUILD_PROGRAM)
    return()
endif()

function(paddock_integration_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;ENVIRONMENT" "")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 180)
    endif()
    set(scale 1)
    if(PADDOCK_SANITIZE)
        set(scale 0.5)
    endif()
    add_test(NAME paddock.integration.${name}
             COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/test_${name}.py)
    set_tests_properties(paddock.integration.${name} PROPERTIES
        SKIP_RETURN_CODE 77 TIMEOUT ${arg_TIMEOUT} LABELS integration
        ENVIRONMENT "PADDOCK=$<TARGET_FILE:paddock>;PADDOCK_SANITIZE=${PADDOCK_SANITIZE};PADDOCK_SCALE=${scale};${arg_ENVIRONMENT}")
endfunction()

paddock_integration_test(responder)
paddock_integration_test(provider)
foreach(name xds xds_hostile xds_reference)
    paddock_integration_test(${name} TIMEOUT 300)
endforeach()
paddock_integration_test(k8s)
# Before the real API server, where $KUBE_APISERVER names it. It is slow enough for one build.
if(NOT PADDOCK_SANITIZE)
    paddock_integration_test(k8s_real TIMEOUT 300)
endif()
paddock_integration_test(filters)
paddock_integration_test(sessions)
paddock_integration_test(service)
paddock_integration_test(latency)
paddock_integration_test(outages)
paddock_integration_test(limits)
paddock_integration_test(neighbours)
paddock_integration_test(network)
paddock_integration_test(guard)
paddock_integration_test(ping)
paddock_integration_test(hostile)
paddock_integration_test(many)
paddock_integration_test(load)
paddock_integration_test(qcmp_ping)
paddock_integration_test(relay)
foreach(name proxy proxy_migration proxy_places proxy_sessions proxy_seeing proxy_header proxy_health proxy_listeners proxy_trace ping_through)
    paddock_integration_test(${name} TIMEOUT 300)
endforeach()
paddock_integration_test(phoenix TIMEOUT 600 ENVIRONMENT "PADDOCK_FAULTY=$<TARGET_FILE:paddock_faulty>")
paddock_integration_test(reference)
paddock_integration_test(reload)
paddock_integration_test(admin)
paddock_integration_test(shutdown)
paddock_integration_test(privileges)
paddock_integration_test(counting ENVIRONMENT "PADDOCK_COUNTING=$<TARGET_FILE:paddock_counting>")
if(PADDOCK_HAVE_XDP)
    foreach(name proxy_xdp proxy_carried xdp)
        paddock_integration_test(${name} TIMEOUT 300
                                 ENVIRONMENT "PADDOCK_PASS_OBJECT=${PROJECT_BINARY_DIR}/bpf/pass.bpf.o;PADDOCK_FAULTY=$<TARGET_FILE:paddock_faulty>")
    endforeach()
    paddock_integration_test(load_xdp ENVIRONMENT "PADDOCK_PASS_OBJECT=${PROJECT_BINARY_DIR}/bpf/pass.bpf.o")
endif()
foreach(name faults fault_start fault_ping fault_network proxy_faults)
    paddock_integration_test(${name} TIMEOUT 600 ENVIRONMENT "PADDOCK_FAULTY=$<TARGET_FILE:paddock_faulty>")
endforeach()
if(PADDOCK_BUILD_EXAMPLES AND NOT PADDOCK_SANITIZE STREQUAL "thread") # they have one thread
    paddock_integration_test(examples)
endif()

# What comes nearest to the kernel runs under valgrind as well, which runs nothing that has a sanitizer in it.
if(NOT PADDOCK_SANITIZE)
    set(suites paddock_unit_client_client paddock_unit_client_posix paddock_unit_client_clock_step paddock_unit_loop_ports)
    list(TRANSFORM suites REPLACE "(.+)" "$<TARGET_FILE:\\1>")
    list(JOIN suites " " suites)
    paddock_integration_test(valgrind TIMEOUT 300 ENVIRONMENT "PADDOCK_SUITES=${suites}")
endif()

# The queue in which packets wait for their CPU is one for all namespaces: a flood overruns it also for those who would miss a single packet.
foreach(name network neighbours outages guard load many faults fault_network load_xdp proxy_xdp proxy_carried xdp)
    if(TEST paddock.integration.${name})
        set_tests_properties(paddock.integration.${name} PROPERTIES RESOURCE_LOCK backlog)
    endif()
endforeach()
