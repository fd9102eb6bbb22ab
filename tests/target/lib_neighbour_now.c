/* lib_neighbour_now.c: lib_neighbour.c, linked so that what it refers to is bound when it is loaded, and read-only then
 * (-z now -z relro). */
#include "lib_neighbour.c"
