/* Finds members that a JSON object has twice, which the parser does not tell:
 * it keeps the last one. */

#ifndef MAPPING_CTL_CTL_REPEATED_H
#define MAPPING_CTL_CTL_REPEATED_H 1

/* The name of a member that occurs twice in the object that 'text' is, members
 * of members aside; the caller owns it.  NULL if there is none.  'text' is
 * valid JSON. */
char *ctl_repeated_member(const char *text);

#endif /* mapping/ctl/ctl-repeated.h */
