// SPDX-License-Identifier: MIT
//
// Stands in the place of the kernel's driver for Intel's cards, as Debian's package mesa-drm-shim does for those of others: preloaded, it shows
// a device file /dev/dri/renderD128 and what /sys tells of its card, and answers what Mesa's driver asks before it compiles. Memory is
// anonymous pages, and nothing is ever run: the Vulkan layer in ../layer lets no work come this far.
//
//   INTEL_CARD_FOLDER  a folder with the files that stand for /dev/dri and /sys/dev/char/226:128, below it by these paths
//   INTEL_CARD_ID      the card's PCI number, hexadecimal
//   INTEL_CARD_SHAPE   slices, subslices of each and execution units of each of these: 8,4,16

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NODE "/dev/dri/renderD128"
#define MAJOR 226
#define MINOR 128
#define REAL(name)                 \
  static __typeof__(name) *real; \
  if (!real) real = dlsym(RTLD_NEXT, #name)

// ---- Files: paths of the card lie in a folder, and open files of the device are remembered by their numbers.

enum { FILES = 4096 };
static unsigned char ours[FILES];

static int is_ours(int fd) { return fd >= 0 && fd < FILES && ours[fd]; }
static int is_node(const char *path) { return path && !strcmp(path, NODE); }

static int mark(int fd) {
  if (fd >= 0 && fd < FILES) ours[fd] = 1;
  return fd;
}

static const char *place_of(const char *path, char *room) {
  const char *folder = getenv("INTEL_CARD_FOLDER");
  if (!path || !folder || (strncmp(path, "/dev/dri", 8) && strncmp(path, "/sys/dev/char/226:", 18))) return path;
  snprintf(room, PATH_MAX, "%s%s", folder, path);
  return room;
}

static int open_node(void) { return mark(memfd_create("card", MFD_CLOEXEC)); }

#define OPEN(name)                                                \
  int name(const char *path, int flags, ...) {                    \
    char room[PATH_MAX];                                          \
    va_list rest;                                                 \
    va_start(rest, flags);                                        \
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
    va_end(rest);                                                 \
    REAL(name);                                                   \
    return is_node(path) ? open_node() : real(place_of(path, room), flags, mode); \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  REAL(close);
  if (is_ours(fd)) ours[fd] = 0;
  return real(fd);
}

#define CONTROL(name)                                             \
  int name(int fd, int command, ...) {                            \
    va_list rest;                                                 \
    va_start(rest, command);                                      \
    void *argument = va_arg(rest, void *);                        \
    va_end(rest);                                                 \
    REAL(name);                                                   \
    int result = real(fd, command, argument);                     \
    int copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC; \
    return copies && is_ours(fd) ? mark(result) : result;         \
  }
CONTROL(fcntl)
CONTROL(fcntl64)

#define THROUGH(result, name, parameters, ...)                    \
  result name parameters {                                        \
    char room[PATH_MAX];                                          \
    REAL(name);                                                   \
    return real(__VA_ARGS__);                                     \
  }
THROUGH(FILE *, fopen, (const char *path, const char *mode), place_of(path, room), mode)
THROUGH(FILE *, fopen64, (const char *path, const char *mode), place_of(path, room), mode)
THROUGH(DIR *, opendir, (const char *path), place_of(path, room))
THROUGH(ssize_t, readlink, (const char *path, char *out, size_t size), place_of(path, room), out, size)
THROUGH(char *, realpath, (const char *path, char *out), place_of(path, room), out)
THROUGH(int, access, (const char *path, int mode), place_of(path, room), mode)

#define AS_DEVICE(s) ((s)->st_mode = S_IFCHR | 0666, (s)->st_rdev = makedev(MAJOR, MINOR))
#define STATUS(name, type)                                        \
  int name(const char *path, struct type *s) {                    \
    char room[PATH_MAX];                                          \
    REAL(name);                                                   \
    int result = real(place_of(path, room), s);                   \
    if (!result && is_node(path)) AS_DEVICE(s);                   \
    return result;                                                \
  }
STATUS(stat, stat)
STATUS(stat64, stat64)
STATUS(lstat, stat)
STATUS(lstat64, stat64)

#define STATUS_OF_FILE(name, type)                                \
  int name(int fd, struct type *s) {                              \
    REAL(name);                                                   \
    int result = real(fd, s);                                     \
    if (!result && is_ours(fd)) AS_DEVICE(s);                     \
    return result;                                                \
  }
STATUS_OF_FILE(fstat, stat)
STATUS_OF_FILE(fstat64, stat64)

#define MAP(name, offset_type)                                    \
  void *name(void *at, size_t size, int access, int flags, int fd, offset_type offset) { \
    REAL(name);                                                   \
    if (!is_ours(fd)) return real(at, size, access, flags, fd, offset); \
    int kept = flags & ~(MAP_SHARED | MAP_PRIVATE);               \
    return real(at, size, access, kept | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); \
  }
MAP(mmap, off_t)
MAP(mmap64, off64_t)

// ---- What the driver asks: the interfaces of drm and i915 between kernel and programs, as far as they matter here.

enum { RENDER, COPY };                       // classes of engines
enum { SYSTEM, DEVICE };                     // and of memory
static const uint64_t GIB = 1ull << 30, ADDRESSES = 1ull << 48;
static uint32_t handles;                     // of memory, contexts, address spaces and fences alike

struct engine { uint16_t class, instance; uint32_t reserved; uint64_t flags, capabilities, more[4]; };
struct engines { uint32_t count, reserved[3]; struct engine list[2]; };
struct region { uint16_t class, instance; uint32_t reserved; uint64_t size, free, visible, visible_free, more[6]; };
struct regions { uint32_t count, reserved[3]; struct region list[2]; };
struct topology {
  uint16_t flags, slices, subslices, units, subslice_offset, subslice_stride, unit_offset, unit_stride;
  uint8_t masks[];
};
struct item { uint64_t what; int32_t length; uint32_t flags; uint64_t data; };
struct query { uint32_t count, flags; uint64_t items; };

static int answer_topology(struct topology *t) {
  int slices = 8, subslices = 4, units = 16;
  const char *shape = getenv("INTEL_CARD_SHAPE");
  if (shape) sscanf(shape, "%d,%d,%d", &slices, &subslices, &units);
  int of_slices = (slices + 7) / 8, stride = (subslices + 7) / 8, of_units = (units + 7) / 8;
  int length = sizeof *t + of_slices + slices * stride + slices * subslices * of_units;
  if (!t) return length;
  memset(t, 0, length);
  *t = (struct topology){.slices = slices, .subslices = subslices, .units = units, .subslice_offset = of_slices,
    .subslice_stride = stride, .unit_offset = of_slices + slices * stride, .unit_stride = of_units};
  for (int i = 0; i < slices; i++) t->masks[i / 8] |= 1 << i % 8;
  for (int i = 0; i < slices * subslices; i++) {
    int slice = i / subslices, sub = i % subslices;
    t->masks[of_slices + slice * stride + sub / 8] |= 1 << sub % 8;
    memset(t->masks + t->unit_offset + i * of_units, 0xff, of_units);
  }
  return length;
}

static int answer_engines(struct engines *e) {
  if (e) *e = (struct engines){.count = 2, .list = {{.class = RENDER}, {.class = COPY}}};
  return sizeof *e;
}

static int answer_regions(struct regions *r) {
  struct region system = {.class = SYSTEM, .size = 32 * GIB, .free = 32 * GIB};
  struct region device = {.class = DEVICE, .size = 16 * GIB, .free = 16 * GIB, .visible = 16 * GIB, .visible_free = 16 * GIB};
  if (r) *r = (struct regions){.count = 2, .list = {system, device}};
  return sizeof *r;
}

static int answer_query(struct query *q) {
  struct item *items = (struct item *)(uintptr_t)q->items;
  for (uint32_t i = 0; i < q->count; i++) {
    void *data = items[i].length ? (void *)(uintptr_t)items[i].data : NULL; // the first time it is asked how long the answer is
    switch (items[i].what) {
      case 1: case 6: items[i].length = answer_topology(data); break; // all of it, and what geometry sees
      case 2: items[i].length = answer_engines(data); break;
      case 4: items[i].length = answer_regions(data); break;
      default: items[i].length = -EINVAL;
    }
  }
  return 0;
}

static int answer_parameter(int32_t what, int *value) {
  switch (what) {
    case 4: *value = (int)strtol(getenv("INTEL_CARD_ID"), NULL, 16); break;
    case 18: *value = 3; break;          // each program has addresses of its own
    case 28: *value = 10; break;         // the version of the parser of commands
    case 30: case 40: *value = 4; break; // the version of mappings
    case 32: *value = 8; break;          // the chip's revision: one that is sold
    case 51: *value = 19200000; break;   // timestamps a second
    default: *value = 1;                 // whatever there may be, there is
  }
  return 0;
}

// Numbers from 0x40 on are i915's own.
static int answer(uint32_t number, uint32_t size, void *data) {
  uint32_t *words = data;
  uint64_t *longs = data;
  switch (number) {
    case 0x00: { // the driver's name
      struct { int major, minor, patch; size_t name_length; char *name; size_t date_length; char *date; size_t text_length; char *text; } *version = data;
      if (version->name && version->name_length >= 4) memcpy(version->name, "i915", 4);
      version->major = 1, version->minor = 6, version->name_length = 4, version->date_length = version->text_length = 0;
      return 0;
    }
    case 0x0c: return longs[1] = longs[0] == 5 ? 3 : 1, 0;      // capabilities; buffers pass both ways
    case 0x2d: return words[2] = memfd_create("buffer", 0), 0;  // a buffer as a file
    case 0x2e: return words[0] = ++handles, 0;                  // and back
    case 0xbf: return words[0] = ++handles, 0;                  // a fence
    case 0xc1: return words[2] = memfd_create("fence", 0), 0;
    case 0xc2: return words[0] = ++handles, 0;
    case 0x46: return answer_parameter(*(int32_t *)data, *(int **)(data + 8));
    case 0x5b: case 0x7c: return words[2] = ++handles, 0;       // memory of a size, in either form
    case 0x63: return longs[0] = longs[1] = ADDRESSES, 0;
    case 0x64: return longs[1] = 4096, 0;                       // where memory is mapped: anywhere
    case 0x6d: return words[0] = ++handles, 0;                  // a context
    case 0x73: return words[5] = ++handles, 0;                  // memory of the program
    case 0x74: return longs[2] = longs[1] == 3 ? ADDRESSES : 0, 0;
    case 0x79: return answer_query(data);
    case 0x7a: return words[3] = ++handles, 0;                  // an address space
    default: return 0;
  }
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *data = va_arg(rest, void *);
  va_end(rest);
  REAL(ioctl);
  return is_ours(fd) && _IOC_TYPE(request) == 'd' ? answer(_IOC_NR(request), _IOC_SIZE(request), data) : real(fd, request, data);
}
