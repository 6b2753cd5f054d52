# What `cmake --install` puts where: libqcmp static and shared, its headers, how to find it (pkg-config, CMake), and paddock.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(QCMP_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/qcmp)

# One export set each, so that a package that carries only one of the two libraries is complete.
foreach(kind static shared)
    set_target_properties(qcmp_${kind} PROPERTIES EXPORT_NAME ${kind})
    install(TARGETS qcmp_${kind} EXPORT qcmp-${kind} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT qcmp-${kind} NAMESPACE qcmp:: DESTINATION ${QCMP_CMAKE_DIR})
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qcmp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/qcmp-config.cmake.in ${PROJECT_BINARY_DIR}/qcmp-config.cmake
                              INSTALL_DESTINATION ${QCMP_CMAKE_DIR}
                              NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qcmp-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qcmp-config.cmake ${PROJECT_BINARY_DIR}/qcmp-config-version.cmake
        DESTINATION ${QCMP_CMAKE_DIR})

# Relative to itself, so that the installed tree can be moved; where somebody wants fixed places, fixed.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(QCMP_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
    set(QCMP_PC_LIBDIR ${CMAKE_INSTALL_FULL_LIBDIR})
    set(QCMP_PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
    file(RELATIVE_PATH QCMP_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" QCMP_PC_PREFIX "\${pcfiledir}/${QCMP_PC_UP}")
    set(QCMP_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(QCMP_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/qcmp.pc.in ${PROJECT_BINARY_DIR}/qcmp.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qcmp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET paddock)
    install(TARGETS paddock)
    install(FILES ${PROJECT_SOURCE_DIR}/packaging/completion/paddock.bash
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME paddock)
    install(FILES ${PROJECT_SOURCE_DIR}/packaging/completion/_paddock
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
foreach(page IN LISTS PADDOCK_MAN_PAGES)
    string(REGEX MATCH "[0-9]$" section ${page})
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
