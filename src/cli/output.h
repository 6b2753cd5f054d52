/** @file
 * Text on the standard output that somebody asked for, such as a help.
 */
#ifndef PADDOCK_CLI_OUTPUT_H
#define PADDOCK_CLI_OUTPUT_H

/** Makes sure that what was printed has arrived. May block.
 * @return the exit status: 0, or EXIT_FAILED with a line on stderr. */
int output_finish(void);

#endif
