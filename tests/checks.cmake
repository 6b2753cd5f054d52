# The project's own checks as tests, each with the proof that it finds what it must find.
foreach(check layers registration links style)
    add_test(NAME paddock.check.${check} COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/check-${check})
    add_test(NAME paddock.check.${check}.self_test
             COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/check-${check} --self-test)
    set_tests_properties(paddock.check.${check} paddock.check.${check}.self_test PROPERTIES LABELS check TIMEOUT 60)
endforeach()

# What BPF programs share with the rest compiles for BPF.
add_test(NAME paddock.check.bpf COMMAND ${PROJECT_SOURCE_DIR}/scripts/check-bpf)
set_tests_properties(paddock.check.bpf PROPERTIES SKIP_RETURN_CODE 77 LABELS check TIMEOUT 120)

add_test(NAME paddock.check.test.self_test COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/test --self-test)
set_tests_properties(paddock.check.test.self_test PROPERTIES LABELS check TIMEOUT 60)
