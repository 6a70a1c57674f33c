/* Checks the endpoints that live on this host, as their groups say, and tells
 * mapd which of them are well: all of it after each registration, then changes
 * only.  For the agent's thread.
 *
 *     health = health_create();
 *     for (;;) {
 *         health_run(health, &replica, self, session);
 *         health_wait(health);
 *         poll_block();
 *     } */

#ifndef VSWITCHD_EXT_HEALTH_H
#define VSWITCHD_EXT_HEALTH_H 1

struct health;
struct mapd_session;
struct replica;

struct health *health_create(void);
void health_destroy(struct health *);

/* Sends checks that are due, takes in answers, and reports; 'self' is this
 * host's name. */
void health_run(struct health *, const struct replica *, const char *self,
                struct mapd_session *);
void health_wait(const struct health *);

#endif /* vswitchd-ext/health.h */
