/* The agent's configuration as a thing to keep and compare. */

#ifndef VSWITCHD_EXT_AGENT_CONFIG_H
#define VSWITCHD_EXT_AGENT_CONFIG_H 1

#include <stdbool.h>

struct agent_config;

/* Makes '*dst', whose former contents do not matter, a copy of '*src' that
 * owns what it points to, until agent_config_uninit(). */
void agent_config_copy(struct agent_config *dst,
                       const struct agent_config *src);

/* Frees what '*config' owns, and makes it all zero. */
void agent_config_uninit(struct agent_config *config);

bool agent_config_equal(const struct agent_config *,
                        const struct agent_config *);

#endif /* vswitchd-ext/agent-config.h */
