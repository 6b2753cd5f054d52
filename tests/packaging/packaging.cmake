# What operators get beside the program: manual pages, completion, units, manifests, alerts. Exit code 77 is a skip.
if(NOT PADDOCK_BUILD_PROGRAM)
    return()
endif()
foreach(case pages_render_without_warnings functions_have_pages_of_their_own paddock_1_names_the_options_of_the_help
             pages_name_the_defaults_and_variables_of_the_help
             paddock_ping_1_names_the_options_of_the_help paddock_load_1_names_the_options_of_the_help
             paddock_relay_1_names_the_options_of_the_help json_keys_of_load_are_those_that_the_program_prints
             other_pages_name_no_option_that_is_not_there
             paddock_filters_7_has_each_filter_with_its_keys_and_an_example
             json_keys_are_those_that_the_program_prints json_keys_of_the_relay_are_those_that_it_prints)
    add_test(NAME paddock.packaging.man.${case}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_man.py ${case} ${PROJECT_SOURCE_DIR}
                     $<TARGET_FILE:paddock>)
    set_tests_properties(paddock.packaging.man.${case} PROPERTIES LABELS packaging TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
foreach(shell bash zsh)
    add_test(NAME paddock.packaging.completion.${shell}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_completion.py ${shell} ${PROJECT_SOURCE_DIR}
                     $<TARGET_FILE:paddock>)
    set_tests_properties(paddock.packaging.completion.${shell} PROPERTIES LABELS packaging TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
add_test(NAME paddock.packaging.systemd
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_systemd.py ${PROJECT_SOURCE_DIR} $<TARGET_FILE:paddock>)
set_tests_properties(paddock.packaging.systemd PROPERTIES LABELS packaging TIMEOUT 120 SKIP_RETURN_CODE 77)
add_test(NAME paddock.packaging.container
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_container.py ${PROJECT_SOURCE_DIR})
set_tests_properties(paddock.packaging.container PROPERTIES LABELS packaging TIMEOUT 60)
foreach(case selectors_find_the_pods ports_are_those_of_the_program
             configuration_is_mounted_where_the_flag_says the_fleet_fits_together manifests_for_agones_are_whole
             manifests_fit_the_schemas)
    add_test(NAME paddock.packaging.kubernetes.${case}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_kubernetes.py ${case} ${PROJECT_SOURCE_DIR})
    set_tests_properties(paddock.packaging.kubernetes.${case} PROPERTIES LABELS packaging TIMEOUT 60 SKIP_RETURN_CODE 77)
endforeach()
foreach(case metrics_in_use_are_those_of_the_service metrics_that_are_not_there_are_noticed dashboards_have_their_shape
             promtool_accepts_alerts_and_dashboards)
    add_test(NAME paddock.packaging.monitoring.${case}
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_monitoring.py ${case} ${PROJECT_SOURCE_DIR})
    set_tests_properties(paddock.packaging.monitoring.${case} PROPERTIES LABELS packaging TIMEOUT 60 SKIP_RETURN_CODE 77)
endforeach()
if(PADDOCK_HARDENING AND NOT PADDOCK_SANITIZE AND NOT PADDOCK_COVERAGE)
    foreach(case it_is_hardened it_names_no_path_of_the_build)
        add_test(NAME paddock.packaging.binary.${case}
                 COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_binary.py ${case} ${PROJECT_SOURCE_DIR}
                         $<TARGET_FILE:paddock>)
        set_tests_properties(paddock.packaging.binary.${case} PROPERTIES LABELS packaging TIMEOUT 60 SKIP_RETURN_CODE 77)
    endforeach()
endif()
add_test(NAME paddock.packaging.debian
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_debian.py ${PROJECT_SOURCE_DIR})
set_tests_properties(paddock.packaging.debian PROPERTIES LABELS packaging TIMEOUT 60)
add_test(NAME paddock.packaging.configuration
         COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_configuration.py ${PROJECT_SOURCE_DIR}
                 $<TARGET_FILE:paddock>)
set_tests_properties(paddock.packaging.configuration PROPERTIES LABELS packaging TIMEOUT 60 SKIP_RETURN_CODE 77)
