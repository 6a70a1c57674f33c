/* Tells the service manager how the program is, as sd_notify(3) describes:
 * datagrams to the Unix socket that $NOTIFY_SOCKET names.  Without it, these
 * do nothing.  For one thread. */

#ifndef MAPPING_SERVICE_NOTIFY_H
#define MAPPING_SERVICE_NOTIFY_H 1

/* The program does its work from now on; it is about to end. */
void service_notify_ready(void);
void service_notify_stopping(void);

/* For a loop that the service manager watches over (WatchdogSec=): says that
 * it goes round, twice in that time; and wakes it up for that. */
void service_notify_run(void);
void service_notify_wait(void);

#endif /* mapping/service-notify.h */
