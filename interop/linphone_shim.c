/* Loaded before liblinphone into linphone-daemon, which has no command for three things that a
 * machine without sound card and outer network needs:
 *  - the network is said to be there, though there is only loopback;
 *  - names are looked up in a file of its own (RINGWAY_HOSTS);
 *  - sound comes from one wave file and goes to another (RINGWAY_PLAY, RINGWAY_RECORD).
 *
 * cc -shared -fPIC -o linphone_shim.so linphone_shim.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

void linphone_core_iterate(void *core)
{
	static void (*real)(void *);

	if (!real) {
		void (*reachable)(void *, unsigned char);
		void (*use_files)(void *, unsigned char);
		void (*play)(void *, const char *);
		void (*record)(void *, const char *);
		void *(*sal)(void *);
		void (*hosts)(void *, const char *);

		*(void **)&real = dlsym(RTLD_NEXT, "linphone_core_iterate");
		*(void **)&reachable = dlsym(RTLD_NEXT, "linphone_core_set_network_reachable");
		*(void **)&use_files = dlsym(RTLD_NEXT, "linphone_core_set_use_files");
		*(void **)&play = dlsym(RTLD_NEXT, "linphone_core_set_play_file");
		*(void **)&record = dlsym(RTLD_NEXT, "linphone_core_set_record_file");
		*(void **)&sal = dlsym(RTLD_NEXT, "linphone_core_get_sal");
		*(void **)&hosts = dlsym(RTLD_NEXT, "sal_set_dns_user_hosts_file");
		hosts(sal(core), getenv("RINGWAY_HOSTS"));
		use_files(core, 1);
		play(core, getenv("RINGWAY_PLAY"));
		record(core, getenv("RINGWAY_RECORD"));
		reachable(core, 1);
	}
	real(core);
}
