/* poison.h: names that do not compile in preload/ and pyhooks/. Included last. The library runs inside malloc: it may
 * not allocate, may not touch stdio (locks, buffers of the host), and may not end its host. hook.c, real.c and
 * notice.c, whose subject these names are, do not include it. */
#pragma GCC poison malloc calloc realloc free strdup asprintf
#pragma GCC poison printf fprintf snprintf sprintf vsnprintf fopen fputs puts fwrite perror
#pragma GCC poison strcpy strcat strncpy strtok gmtime localtime strerror
#pragma GCC poison exit abort raise kill sleep usleep
