/* Everything that grapnelctl prints.
 *
 * Text or JSON is chosen once.  A verb hands over a record for programs, or
 * a table or lines for people; errors become one line on standard error, or
 * with --json an object on standard output.  Write errors are kept and
 * reported by ctl_output_close(). */

#ifndef MAPPING_CTL_CTL_OUTPUT_H
#define MAPPING_CTL_CTL_OUTPUT_H 1

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "mapping/ctl/ctl.h"
#include "openvswitch/compiler.h"

struct ctl_output *ctl_output_create(bool json);

/* Which verb hints are to name; 'noun' is NULL for one without. */
void ctl_output_set_verb(struct ctl_output *, const char *noun,
                         const char *name);

/* Flushes, frees, and returns 'status', or CTL_FAILED if 'status' is CTL_OK
 * and something could not be written (said on standard error, unless the
 * reader went away). */
enum ctl_exit ctl_output_close(struct ctl_output *, enum ctl_exit status);

/* Flushes.  Returns false if writing has failed, or if the other end of
 * the pipe on standard output is closed: there is no point in going on. */
bool ctl_output_flush(struct ctl_output *);
/* Has the next poll_block() wake up when that end is closed. */
void ctl_output_wait(const struct ctl_output *);

/* Colours mean the same everywhere: GOOD works, CARE wants attention, BAD is
 * broken; only seen on a terminal, and never when NO_COLOR is set. */
enum ctl_color { CTL_PLAIN, CTL_GOOD, CTL_CARE, CTL_BAD };

/* A line for people; adds the newline. */
void ctl_output_line(struct ctl_output *, enum ctl_color,
                     const char *format, ...) OVS_PRINTF_FORMAT(3, 4);
/* Text as it is, for scripts and help. */
void ctl_output_text(struct ctl_output *, const char *text);
/* A JSON document on a line of its own, members sorted.  Does not take
 * ownership. */
void ctl_output_json(struct ctl_output *, const struct json *);

/* A failure of our own.  'code' is for programs: a word of docs/grapnelctl.md.
 * 'hint' says what to do.  Returns 'status'. */
enum ctl_exit ctl_output_error(struct ctl_output *, enum ctl_exit status,
                               const char *code, const char *hint,
                               const char *format, ...)
    OVS_PRINTF_FORMAT(5, 6);
/* A 'value' of 'field' that mapd would not take either.  Looks as if mapd had
 * refused it.  Returns CTL_FAILED. */
enum ctl_exit ctl_output_invalid(struct ctl_output *, const char *field,
                                 const char *value, const char *hint,
                                 const char *format, ...)
    OVS_PRINTF_FORMAT(5, 6);
/* mapd's error object (docs/protocol.md), with 'prefix' (such as "FILE: ")
 * before its message and 'suffix' behind its hint.  Returns the exit status
 * that goes with it. */
enum ctl_exit ctl_output_refusal(struct ctl_output *, const struct json *error,
                                 const char *prefix, const char *suffix);
/* From here on errors are not printed but kept, until ctl_output_take_error()
 * takes the last one, or NULL; the caller then owns it. */
void ctl_output_keep_errors(struct ctl_output *);
struct json *ctl_output_take_error(struct ctl_output *);
/* What people should know though nothing failed: a line on standard error.
 * Nothing with --json. */
void ctl_output_note(struct ctl_output *, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);

/* Tables for people.  Columns first, then rows; cells in the order of the
 * columns.  ctl_output_table_end() prints and frees. */
struct ctl_table;
struct ctl_table *ctl_output_table(struct ctl_output *, bool heading);
void ctl_output_column(struct ctl_table *, const char *name, bool right);
void ctl_output_row(struct ctl_table *);
void ctl_output_cell(struct ctl_table *, enum ctl_color,
                     const char *format, ...) OVS_PRINTF_FORMAT(3, 4);
void ctl_output_table_end(struct ctl_table *);

#endif /* mapping/ctl/ctl-output.h */
