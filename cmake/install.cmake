# What `cmake --install` puts where: libqcmp static and shared, its headers, how to find it (pkg-config, CMake), and paddock.
#
# Inside another project the library's part is there too, as the component qcmp, which only `cmake --install --component qcmp`
# installs unless PADDOCK_INSTALL is on: so that the project can export targets of its own that link qcmp::qcmp.
include(CMakePackageConfigHelpers)
if(PADDOCK_INSTALL)
    include(GNUInstallDirs)
else()
    # The same folders as the project has, without adding to its cache.
    foreach(folder bin lib include)
        string(TOUPPER CMAKE_INSTALL_${folder}DIR variable)
        if(NOT DEFINED ${variable})
            set(${variable} ${folder})
        endif()
    endforeach()
endif()

set(QCMP_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/qcmp)
set(QCMP_WHEN EXCLUDE_FROM_ALL)
if(PADDOCK_INSTALL)
    set(QCMP_WHEN)
endif()

# One export set each, so that a package that carries only one of the two libraries is complete.
foreach(kind static shared)
    set_target_properties(qcmp_${kind} PROPERTIES EXPORT_NAME ${kind})
    if(NOT QCMP_BOTH AND kind STREQUAL QCMP_OTHER)
        set(QCMP_OPTIONAL OPTIONAL) # not built unless somebody links it
    else()
        set(QCMP_OPTIONAL)
    endif()
    install(TARGETS qcmp_${kind} EXPORT qcmp-${kind}
            RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT qcmp ${QCMP_OPTIONAL} ${QCMP_WHEN}
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT qcmp ${QCMP_OPTIONAL} ${QCMP_WHEN}
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT qcmp ${QCMP_OPTIONAL} ${QCMP_WHEN}
            INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    if(QCMP_BOTH OR kind STREQUAL QCMP_DEFAULT)
        install(EXPORT qcmp-${kind} NAMESPACE qcmp:: DESTINATION ${QCMP_CMAKE_DIR} COMPONENT qcmp ${QCMP_WHEN})
    endif()
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qcmp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT qcmp ${QCMP_WHEN}
        FILES_MATCHING PATTERN *.h)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/qcmp-config.cmake.in ${PROJECT_BINARY_DIR}/qcmp-config.cmake
                              INSTALL_DESTINATION ${QCMP_CMAKE_DIR}
                              NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what a major one may afterwards.
set(QCMP_COMPATIBILITY SameMajorVersion)
if(PROJECT_VERSION VERSION_LESS 1.0)
    set(QCMP_COMPATIBILITY SameMinorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qcmp-config-version.cmake COMPATIBILITY ${QCMP_COMPATIBILITY})
install(FILES ${PROJECT_BINARY_DIR}/qcmp-config.cmake ${PROJECT_BINARY_DIR}/qcmp-config-version.cmake
        DESTINATION ${QCMP_CMAKE_DIR} COMPONENT qcmp ${QCMP_WHEN})

# Relative to itself, so that the installed tree can be moved; where somebody wants fixed places, fixed.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(QCMP_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
    get_filename_component(QCMP_PC_LIBDIR ${CMAKE_INSTALL_LIBDIR} ABSOLUTE BASE_DIR ${CMAKE_INSTALL_PREFIX})
    get_filename_component(QCMP_PC_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR} ABSOLUTE BASE_DIR ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH QCMP_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" QCMP_PC_PREFIX "\${pcfiledir}/${QCMP_PC_UP}")
    set(QCMP_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(QCMP_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(QCMP_PC_PRIVATE "")
foreach(library IN LISTS QCMP_LIBRARIES)
    string(APPEND QCMP_PC_PRIVATE " -l${library}")
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/qcmp.pc.in ${PROJECT_BINARY_DIR}/qcmp.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qcmp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT qcmp ${QCMP_WHEN})

if(NOT PADDOCK_INSTALL)
    return()
endif()
if(TARGET paddock)
    install(TARGETS paddock DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(FILES ${PROJECT_SOURCE_DIR}/packaging/completion/paddock.bash
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME paddock)
    install(FILES ${PROJECT_SOURCE_DIR}/packaging/completion/_paddock
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
foreach(page IN LISTS PADDOCK_MAN_PAGES)
    string(REGEX MATCH "[0-9]$" section ${page})
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
