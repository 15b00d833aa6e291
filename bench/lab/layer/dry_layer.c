// SPDX-License-Identifier: MIT
//
// A Vulkan layer between a program and a driver whose card is not there. Mesa's RADV opens without a card when RADV_FORCE_FAMILY names
// one, others with a shim in the place of the kernel's driver: they compile for it, but any command buffer would crash them. With this
// layer
//
//   - what would run is the layer's own and does nothing: command buffers only count, submissions have happened at once;
//   - what only takes part is the driver's: buffers, memory, descriptor sets, shader modules, pipelines. The driver refuses what a
//     real card would refuse;
//   - mapped memory is ordinary memory of the process, zero at first: pages that nobody touches cost nothing;
//   - each compute pipeline is made with the driver's statistics (VK_KHR_pipeline_executable_properties), which go to the file that
//     the environment variable DRY_LAYER_LOG names, one JSON object a line:
//     {"pipeline":1,"subgroupSize":64,"statistics":{"VGPRs":48,"Spilled VGPRs":0, ...}}
//     and, of what was submitted, how often each pipeline was dispatched, with how many workgroups in all:
//     {"dispatches":{"1":[12,3456], ...}}
//   - DRY_LAYER_TEXTS names a folder for what the driver shows of a pipeline, <pipeline>.<name>.txt: its own forms, machine code;
//   - DRY_LAYER_SMALL, set to anything, cuts what is allocated: shims of the kernel's drivers have little memory;
//   - DRY_LAYER_WAVE, 32 or 64, is the subgroup size of every pipeline, whatever the program asks for.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#define CALL VKAPI_ATTR
#define ALLOCATOR const VkAllocationCallbacks *allocator
#define HANDLE(type, pointer) ((type)(uintptr_t)(pointer))
#define OBJECT(type, handle) ((type *)(uintptr_t)(handle))

// ---- Instances and devices, and the functions below this layer.

// Handles of an instance and its physical devices, and of a device and its queues, begin with the same word: the loader's table.
static void *key_of(const void *handle) { return *(void *const *)handle; }

typedef struct Instance {
  struct Instance *next;
  void *key;
  VkInstance handle;
  PFN_vkGetInstanceProcAddr get;
  PFN_vkGetInstanceProcAddr get_physical;  // as the loader's GetPhysicalDeviceProcAddr
  // Looked up while the instance is made: afterwards the same question reaches the top of the chain, this layer.
  PFN_vkDestroyInstance DestroyInstance;
  PFN_vkEnumerateDeviceExtensionProperties EnumerateDeviceExtensionProperties;
  PFN_vkGetPhysicalDeviceMemoryProperties GetPhysicalDeviceMemoryProperties;
  PFN_vkGetPhysicalDeviceMemoryProperties2 GetPhysicalDeviceMemoryProperties2;
  PFN_vkGetPhysicalDeviceProperties GetPhysicalDeviceProperties;
  PFN_vkGetPhysicalDeviceProperties2 GetPhysicalDeviceProperties2;
} Instance;

typedef struct Device {
  struct Device *next;
  void *key;
  PFN_vkGetDeviceProcAddr get;
  int reports;  // the driver tells of its pipelines
  int small;    // allocations are cut
  PFN_vkDestroyDevice DestroyDevice;
  PFN_vkAllocateMemory AllocateMemory;
  PFN_vkFreeMemory FreeMemory;
  PFN_vkCreateComputePipelines CreateComputePipelines;
  PFN_vkGetPipelineExecutablePropertiesKHR GetProperties;
  PFN_vkGetPipelineExecutableStatisticsKHR GetStatistics;
  PFN_vkGetPipelineExecutableInternalRepresentationsKHR GetTexts;
} Device;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Instance *instances;
static Device *devices;

static Instance *instance_of(const void *handle) {
  pthread_mutex_lock(&lock);
  Instance *i = instances;
  while (i && i->key != key_of(handle)) i = i->next;
  pthread_mutex_unlock(&lock);
  return i;
}

static Device *device_of(const void *handle) {
  pthread_mutex_lock(&lock);
  Device *d = devices;
  while (d && d->key != key_of(handle)) d = d->next;
  pthread_mutex_unlock(&lock);
  return d;
}

// ---- Pipelines that were made, the last one first: a handle may be used again.

typedef struct Made {
  struct Made *next;
  VkPipeline handle;
  uint64_t id, dispatches, groups;
} Made;
static Made *made;

// A line to the log; under the lock.
static FILE *open_log(void) {
  const char *path = getenv("DRY_LAYER_LOG");
  return path ? fopen(path, "a") : NULL;
}

// Writes what was dispatched since the last time.
static void write_dispatches(void) {
  pthread_mutex_lock(&lock);
  FILE *f = NULL;
  for (Made *m = made; m; m = m->next) {
    if (!m->dispatches) continue;
    const char *before = f ? "," : "{\"dispatches\":{";
    if (!f && !(f = open_log())) break;
    fprintf(f, "%s\"%llu\":[%llu,%llu]", before, (unsigned long long)m->id, (unsigned long long)m->dispatches,
            (unsigned long long)m->groups);
    m->dispatches = m->groups = 0;
  }
  if (f) {
    fputs("}}\n", f);
    fclose(f);
  }
  pthread_mutex_unlock(&lock);
}

// ---- Commands. A dispatchable handle must begin with the loader's table; a command buffer knows its pipeline, no more.

typedef struct Commands {
  void *key;
  struct Commands *next;
  Made *bound;
} Commands;
typedef struct { Commands *first; } Pool;

static CALL VkResult CreateCommandPool(VkDevice device, const VkCommandPoolCreateInfo *info, ALLOCATOR, VkCommandPool *out) {
  *out = HANDLE(VkCommandPool, calloc(1, sizeof(Pool)));
  return VK_SUCCESS;
}

static CALL void DestroyCommandPool(VkDevice device, VkCommandPool pool, ALLOCATOR) {
  if (!pool) return;
  Commands *c = OBJECT(Pool, pool)->first;
  while (c) {
    Commands *next = c->next;
    free(c);
    c = next;
  }
  free(OBJECT(Pool, pool));
}

// They are freed with their pool: a program asks for few and resets them.
static CALL VkResult AllocateCommandBuffers(VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *out) {
  Pool *pool = OBJECT(Pool, info->commandPool);
  for (uint32_t i = 0; i < info->commandBufferCount; i++) {
    Commands *c = calloc(1, sizeof *c);
    *c = (Commands){key_of(device), pool->first};
    pool->first = c;
    out[i] = (VkCommandBuffer)c;
  }
  return VK_SUCCESS;
}

static CALL void FreeCommandBuffers(VkDevice device, VkCommandPool pool, uint32_t count, const VkCommandBuffer *buffers) {}

static CALL void CmdBindPipeline(VkCommandBuffer buffer, VkPipelineBindPoint point, VkPipeline pipeline) {
  pthread_mutex_lock(&lock);
  Made *m = made;
  while (m && m->handle != pipeline) m = m->next;
  pthread_mutex_unlock(&lock);
  ((Commands *)buffer)->bound = m;
}

static void count_dispatch(VkCommandBuffer buffer, uint64_t groups) {
  Made *m = ((Commands *)buffer)->bound;
  if (!m) return;
  pthread_mutex_lock(&lock);
  m->dispatches++;
  m->groups += groups;
  pthread_mutex_unlock(&lock);
}

static CALL void CmdDispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y, uint32_t z) {
  count_dispatch(buffer, (uint64_t)x * y * z);
}

static CALL void CmdDispatchIndirect(VkCommandBuffer buffer, VkBuffer from, VkDeviceSize offset) { count_dispatch(buffer, 0); }

// Stands for commands of any arguments, and for functions whose result is VK_SUCCESS: the calling conventions of x86-64 and arm64
// let a caller pass more than is taken.
static CALL uint64_t nothing(void) { return 0; }

// ---- Order. All work is done when it is submitted: a fence has been signalled, a timeline stands where its last signal puts it.

typedef struct { uint64_t value; } Timeline;

static CALL VkResult CreateFence(VkDevice device, const VkFenceCreateInfo *info, ALLOCATOR, VkFence *out) {
  *out = HANDLE(VkFence, calloc(1, sizeof(Timeline)));
  return VK_SUCCESS;
}

static CALL void DestroyFence(VkDevice device, VkFence fence, ALLOCATOR) { free(OBJECT(Timeline, fence)); }

static CALL VkResult CreateSemaphore(VkDevice device, const VkSemaphoreCreateInfo *info, ALLOCATOR, VkSemaphore *out) {
  Timeline *t = calloc(1, sizeof *t);
  for (const VkBaseInStructure *s = info->pNext; s; s = s->pNext)
    if (s->sType == VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO) t->value = ((const VkSemaphoreTypeCreateInfo *)s)->initialValue;
  *out = HANDLE(VkSemaphore, t);
  return VK_SUCCESS;
}

static CALL void DestroySemaphore(VkDevice device, VkSemaphore semaphore, ALLOCATOR) { free(OBJECT(Timeline, semaphore)); }

static void reach(VkSemaphore semaphore, uint64_t value) {
  Timeline *t = OBJECT(Timeline, semaphore);
  if (t && value > t->value) t->value = value;
}

static CALL VkResult SignalSemaphore(VkDevice device, const VkSemaphoreSignalInfo *info) {
  reach(info->semaphore, info->value);
  return VK_SUCCESS;
}

static CALL VkResult GetSemaphoreCounterValue(VkDevice device, VkSemaphore semaphore, uint64_t *value) {
  *value = OBJECT(Timeline, semaphore)->value;
  return VK_SUCCESS;
}

static CALL VkResult QueueSubmit(VkQueue queue, uint32_t count, const VkSubmitInfo *submits, VkFence fence) {
  for (uint32_t i = 0; i < count; i++) {
    for (const VkBaseInStructure *s = submits[i].pNext; s; s = s->pNext) {
      if (s->sType != VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO) continue;
      const VkTimelineSemaphoreSubmitInfo *t = (const void *)s;
      for (uint32_t j = 0; j < t->signalSemaphoreValueCount; j++)
        reach(submits[i].pSignalSemaphores[j], t->pSignalSemaphoreValues[j]);
    }
  }
  write_dispatches();
  return VK_SUCCESS;
}

static CALL VkResult QueueSubmit2(VkQueue queue, uint32_t count, const VkSubmitInfo2 *submits, VkFence fence) {
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t j = 0; j < submits[i].signalSemaphoreInfoCount; j++)
      reach(submits[i].pSignalSemaphoreInfos[j].semaphore, submits[i].pSignalSemaphoreInfos[j].value);
  write_dispatches();
  return VK_SUCCESS;
}

static CALL VkResult GetQueryPoolResults(VkDevice device, VkQueryPool pool, uint32_t first, uint32_t count, size_t size, void *data,
                                         VkDeviceSize stride, VkQueryResultFlags flags) {
  memset(data, 0, size);
  return VK_SUCCESS;
}

// ---- Memory: the driver's, but mappings are the layer's. Shims have little: behind them all allocations are small, however large.
// (RADV without a card needs no such thing, and refuses buffers that are larger than their memory.)

#define SMALL 65536

typedef struct Mapping {
  struct Mapping *next;
  VkDeviceMemory memory;
  size_t size;
  char *bytes;  // once it was mapped
} Mapping;
static Mapping *mappings;

static CALL VkResult AllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info, ALLOCATOR, VkDeviceMemory *out) {
  Device *d = device_of(device);
  VkMemoryAllocateInfo asked = *info;
  if (d->small && asked.allocationSize > SMALL) asked.allocationSize = SMALL;
  VkResult result = d->AllocateMemory(device, &asked, allocator, out);
  if (result != VK_SUCCESS) return result;
  Mapping *m = calloc(1, sizeof *m);
  pthread_mutex_lock(&lock);
  *m = (Mapping){mappings, *out, info->allocationSize, NULL};
  mappings = m;
  pthread_mutex_unlock(&lock);
  return result;
}

static CALL void FreeMemory(VkDevice device, VkDeviceMemory memory, ALLOCATOR) {
  if (memory) {
    pthread_mutex_lock(&lock);
    Mapping **at = &mappings;
    while ((*at)->memory != memory) at = &(*at)->next;
    Mapping *m = *at;
    *at = m->next;
    pthread_mutex_unlock(&lock);
    free(m->bytes);
    free(m);
  }
  device_of(device)->FreeMemory(device, memory, allocator);
}

static CALL VkResult MapMemory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize size, VkMemoryMapFlags flags,
                               void **out) {
  pthread_mutex_lock(&lock);
  Mapping *m = mappings;
  while (m->memory != memory) m = m->next;
  if (!m->bytes) m->bytes = calloc(1, m->size);
  pthread_mutex_unlock(&lock);
  if (!m->bytes) return VK_ERROR_MEMORY_MAP_FAILED;
  *out = m->bytes + offset;
  return VK_SUCCESS;
}

// ---- Pipelines, and what the driver tells of them.

static void write_value(FILE *f, const VkPipelineExecutableStatisticKHR *s) {
  switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: fputs(s->value.b32 ? "true" : "false", f); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: fprintf(f, "%lld", (long long)s->value.i64); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: fprintf(f, "%llu", (unsigned long long)s->value.u64); break;
    default: fprintf(f, "%g", s->value.f64);
  }
}

static void write_statistics(FILE *f, Device *d, VkDevice device, const VkPipelineExecutableInfoKHR *which) {
  uint32_t count = 0;
  d->GetStatistics(device, which, &count, NULL);
  VkPipelineExecutableStatisticKHR *s = calloc(count, sizeof *s);
  for (uint32_t i = 0; i < count; i++) s[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  d->GetStatistics(device, which, &count, s);
  fputs("\"statistics\":{", f);
  for (uint32_t i = 0; i < count; i++) {
    fprintf(f, "%s\"%s\":", i ? "," : "", s[i].name);
    write_value(f, &s[i]);
  }
  fputc('}', f);
  free(s);
}

static void write_text(const char *folder, uint64_t id, const VkPipelineExecutableInternalRepresentationKHR *text) {
  char path[1024];
  int start = snprintf(path, sizeof path, "%s/%llu.", folder, (unsigned long long)id);
  snprintf(path + start, sizeof path - start, "%s.txt", text->name);
  for (char *c = path + start; *c; c++)
    if (strchr(" /()", *c)) *c = '-';
  FILE *f = fopen(path, "w");
  if (!f) return;
  fwrite(text->pData, 1, strnlen(text->pData, text->dataSize), f);
  fclose(f);
}

static void write_texts(Device *d, VkDevice device, const VkPipelineExecutableInfoKHR *which, uint64_t id) {
  const char *folder = getenv("DRY_LAYER_TEXTS");
  if (!folder) return;
  uint32_t count = 0;
  d->GetTexts(device, which, &count, NULL);
  VkPipelineExecutableInternalRepresentationKHR *t = calloc(count, sizeof *t);
  for (uint32_t i = 0; i < count; i++) t[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  d->GetTexts(device, which, &count, t);  // their sizes
  for (uint32_t i = 0; i < count; i++) t[i].pData = malloc(t[i].dataSize + 1);
  d->GetTexts(device, which, &count, t);
  for (uint32_t i = 0; i < count; i++) {
    if (t[i].isText) write_text(folder, id, &t[i]);
    free(t[i].pData);
  }
  free(t);
}

// Under the lock: a line at a time.
static void report(Device *d, VkDevice device, VkPipeline pipeline, uint64_t id) {
  FILE *f = d->reports ? open_log() : NULL;
  if (!f) return;
  VkPipelineInfoKHR of = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, NULL, pipeline};
  VkPipelineExecutablePropertiesKHR properties = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
  uint32_t one = 1;  // a compute pipeline is one program
  d->GetProperties(device, &of, &one, &properties);
  VkPipelineExecutableInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, 0};
  fprintf(f, "{\"pipeline\":%llu,\"subgroupSize\":%u,", (unsigned long long)id, properties.subgroupSize);
  write_statistics(f, d, device, &which);
  fputs("}\n", f);
  fclose(f);
  write_texts(d, device, &which, id);
}

static void made_one(Device *d, VkDevice device, VkPipeline pipeline) {
  static uint64_t last;
  Made *m = calloc(1, sizeof *m);
  pthread_mutex_lock(&lock);
  *m = (Made){made, pipeline, ++last, 0, 0};
  made = m;
  report(d, device, pipeline, m->id);
  pthread_mutex_unlock(&lock);
}

typedef VkPipelineShaderStageRequiredSubgroupSizeCreateInfo Wave;

// The same with a wave of the environment's, in the program's own structure or in `own`.
static VkComputePipelineCreateInfo with_wave(VkComputePipelineCreateInfo info, Wave *own, uint32_t lanes) {
  for (VkBaseOutStructure *s = (void *)info.stage.pNext; s; s = s->pNext) {
    if (s->sType != VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO) continue;
    ((Wave *)s)->requiredSubgroupSize = lanes;
    return info;
  }
  *own = (Wave){VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, (void *)info.stage.pNext, lanes};
  info.stage.pNext = own;
  return info;
}

static CALL VkResult CreateComputePipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                            const VkComputePipelineCreateInfo *infos, ALLOCATOR, VkPipeline *out) {
  Device *d = device_of(device);
  const char *wave = getenv("DRY_LAYER_WAVE");
  VkPipelineCreateFlags capture = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
  if (getenv("DRY_LAYER_TEXTS")) capture |= VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
  VkComputePipelineCreateInfo *asked = malloc(count * sizeof *asked);
  Wave *waves = calloc(count, sizeof *waves);
  for (uint32_t i = 0; i < count; i++) {
    asked[i] = wave ? with_wave(infos[i], &waves[i], (uint32_t)atoi(wave)) : infos[i];
    if (d->reports) asked[i].flags |= capture;
  }
  VkResult result = d->CreateComputePipelines(device, cache, count, asked, allocator, out);
  for (uint32_t i = 0; i < count; i++)
    if (out[i]) made_one(d, device, out[i]);
  free(waves);
  free(asked);
  return result;
}

// A cache that never has anything: what comes from one is not compiled.
static CALL VkResult GetPipelineCacheData(VkDevice device, VkPipelineCache cache, size_t *size, void *data) {
  *size = 0;
  return VK_SUCCESS;
}

// ---- A card that is not there has no memory, and its clock has no period: it gets some.

static void give_memory(VkPhysicalDeviceMemoryProperties *m) {
  if (m->memoryTypeCount) return;
  const VkMemoryPropertyFlags card = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  *m = (VkPhysicalDeviceMemoryProperties){
      .memoryHeapCount = 2,
      .memoryHeaps = {{24ull << 30, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}, {16ull << 30, 0}},
      .memoryTypeCount = 4,
      .memoryTypes = {{card, 0}, {host, 1}, {card | host, 0}, {host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 1}},
  };
}

static CALL void GetPhysicalDeviceMemoryProperties(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties *m) {
  instance_of(p)->GetPhysicalDeviceMemoryProperties(p, m);
  give_memory(m);
}

static CALL void GetPhysicalDeviceMemoryProperties2(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties2 *m) {
  instance_of(p)->GetPhysicalDeviceMemoryProperties2(p, m);
  give_memory(&m->memoryProperties);
}

static void give_clock(VkPhysicalDeviceProperties *q) {
  if (!(q->limits.timestampPeriod < 1e6f)) q->limits.timestampPeriod = 10;
}

static CALL void GetPhysicalDeviceProperties(VkPhysicalDevice p, VkPhysicalDeviceProperties *q) {
  instance_of(p)->GetPhysicalDeviceProperties(p, q);
  give_clock(q);
}

static CALL void GetPhysicalDeviceProperties2(VkPhysicalDevice p, VkPhysicalDeviceProperties2 *q) {
  instance_of(p)->GetPhysicalDeviceProperties2(p, q);
  give_clock(&q->properties);
}

#define ANY_TYPE 15  // of the four above
static void give_type(VkMemoryRequirements *r) {
  if (!r->memoryTypeBits) r->memoryTypeBits = ANY_TYPE;
}

#define BELOW(device, name) ((PFN_##name)device_of(device)->get(device, #name))

static CALL void GetBufferMemoryRequirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *r) {
  BELOW(device, vkGetBufferMemoryRequirements)(device, buffer, r);
  give_type(r);
}

static CALL void GetBufferMemoryRequirements2(VkDevice device, const VkBufferMemoryRequirementsInfo2 *info, VkMemoryRequirements2 *r) {
  BELOW(device, vkGetBufferMemoryRequirements2)(device, info, r);
  give_type(&r->memoryRequirements);
}

static CALL void GetDeviceBufferMemoryRequirements(VkDevice device, const VkDeviceBufferMemoryRequirements *info,
                                                   VkMemoryRequirements2 *r) {
  BELOW(device, vkGetDeviceBufferMemoryRequirements)(device, info, r);
  give_type(&r->memoryRequirements);
}

// ---- The chain of layers.

static void *link_in(const void *chain, VkStructureType type, VkLayerFunction function) {
  for (const VkBaseInStructure *s = chain; s; s = s->pNext)
    if (s->sType == type && ((const VkLayerInstanceCreateInfo *)s)->function == function) return (void *)s;
  return NULL;
}

static CALL VkResult CreateInstance(const VkInstanceCreateInfo *info, ALLOCATOR, VkInstance *out) {
  VkLayerInstanceCreateInfo *link = link_in(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO, VK_LAYER_LINK_INFO);
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr get = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  void *get_physical = (void *)link->u.pLayerInfo->pfnNextGetPhysicalDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;  // the next layer finds its own
  VkResult result = ((PFN_vkCreateInstance)get(NULL, "vkCreateInstance"))(info, allocator, out);
  if (result != VK_SUCCESS) return result;
  Instance *i = calloc(1, sizeof *i);
  i->key = key_of(*out);
  i->handle = *out;
  i->get = get;
  i->get_physical = get_physical;
#define FIND(name) i->name = (void *)get(*out, "vk" #name)
  FIND(DestroyInstance);
  FIND(EnumerateDeviceExtensionProperties);
  FIND(GetPhysicalDeviceMemoryProperties);
  FIND(GetPhysicalDeviceMemoryProperties2);
  FIND(GetPhysicalDeviceProperties);
  FIND(GetPhysicalDeviceProperties2);
#undef FIND
  pthread_mutex_lock(&lock);
  i->next = instances;
  instances = i;
  pthread_mutex_unlock(&lock);
  return result;
}

static CALL void DestroyInstance(VkInstance instance, ALLOCATOR) {
  Instance *i = instance ? instance_of(instance) : NULL;
  if (!i) return;
  pthread_mutex_lock(&lock);
  Instance **at = &instances;
  while (*at != i) at = &(*at)->next;
  *at = i->next;
  pthread_mutex_unlock(&lock);
  i->DestroyInstance(instance, allocator);
  free(i);
}

static int can_report(Instance *i, VkPhysicalDevice physical) {
  uint32_t count = 0;
  i->EnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
  VkExtensionProperties *all = calloc(count, sizeof *all);
  i->EnumerateDeviceExtensionProperties(physical, NULL, &count, all);
  int found = 0;
  for (uint32_t j = 0; j < count; j++)
    found |= !strcmp(all[j].extensionName, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
  free(all);
  return found;
}

static CALL VkResult CreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info, ALLOCATOR, VkDevice *out) {
  Instance *i = instance_of(physical);
  VkLayerDeviceCreateInfo *link = link_in(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO, VK_LAYER_LINK_INFO);
  if (!i || !link) return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr get_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  PFN_vkGetDeviceProcAddr get = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;

  int reports = can_report(i, physical);
  VkDeviceCreateInfo asked = *info;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void *)info->pNext, VK_TRUE};
  const char **names = malloc((info->enabledExtensionCount + 1) * sizeof *names);
  memcpy(names, info->ppEnabledExtensionNames, info->enabledExtensionCount * sizeof *names);
  if (reports) {
    names[asked.enabledExtensionCount++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    asked.ppEnabledExtensionNames = names;
    asked.pNext = &feature;
  }
  VkResult result = ((PFN_vkCreateDevice)get_instance(i->handle, "vkCreateDevice"))(physical, &asked, allocator, out);
  free(names);
  if (result != VK_SUCCESS) return result;

  Device *d = calloc(1, sizeof *d);
  d->key = key_of(*out);
  d->get = get;
#define FIND(field, name) d->field = (void *)get(*out, name)
  FIND(DestroyDevice, "vkDestroyDevice");
  FIND(AllocateMemory, "vkAllocateMemory");
  FIND(FreeMemory, "vkFreeMemory");
  FIND(CreateComputePipelines, "vkCreateComputePipelines");
  FIND(GetProperties, "vkGetPipelineExecutablePropertiesKHR");
  FIND(GetStatistics, "vkGetPipelineExecutableStatisticsKHR");
  FIND(GetTexts, "vkGetPipelineExecutableInternalRepresentationsKHR");
#undef FIND
  d->reports = reports && d->GetProperties && d->GetStatistics && d->GetTexts;
  d->small = getenv("DRY_LAYER_SMALL") != NULL;
  pthread_mutex_lock(&lock);
  d->next = devices;
  devices = d;
  pthread_mutex_unlock(&lock);
  return result;
}

static CALL void DestroyDevice(VkDevice device, ALLOCATOR) {
  Device *d = device ? device_of(device) : NULL;
  if (!d) return;
  write_dispatches();
  pthread_mutex_lock(&lock);
  Device **at = &devices;
  while (*at != d) at = &(*at)->next;
  *at = d->next;
  pthread_mutex_unlock(&lock);
  d->DestroyDevice(device, allocator);
  free(d);
}

// ---- Which function answers to which name.

static CALL PFN_vkVoidFunction GetDeviceProcAddr(VkDevice device, const char *name);
static CALL PFN_vkVoidFunction GetInstanceProcAddr(VkInstance instance, const char *name);

typedef struct { const char *name; void *function; } Function;

static const Function OF_DEVICES[] = {
    {"vkGetDeviceProcAddr", GetDeviceProcAddr},
    {"vkDestroyDevice", DestroyDevice},
    {"vkCreateCommandPool", CreateCommandPool},
    {"vkDestroyCommandPool", DestroyCommandPool},
    {"vkResetCommandPool", nothing},
    {"vkTrimCommandPool", nothing},
    {"vkGetPipelineCacheData", GetPipelineCacheData},
    {"vkCmdBindPipeline", CmdBindPipeline},
    {"vkCmdDispatch", CmdDispatch},
    {"vkCmdDispatchIndirect", CmdDispatchIndirect},
    {"vkAllocateCommandBuffers", AllocateCommandBuffers},
    {"vkFreeCommandBuffers", FreeCommandBuffers},
    {"vkBeginCommandBuffer", nothing},
    {"vkEndCommandBuffer", nothing},
    {"vkResetCommandBuffer", nothing},
    {"vkQueueSubmit", QueueSubmit},
    {"vkQueueSubmit2", QueueSubmit2},
    {"vkQueueBindSparse", nothing},
    {"vkQueueWaitIdle", nothing},
    {"vkDeviceWaitIdle", nothing},
    {"vkCreateFence", CreateFence},
    {"vkDestroyFence", DestroyFence},
    {"vkGetFenceStatus", nothing},
    {"vkWaitForFences", nothing},
    {"vkResetFences", nothing},
    {"vkCreateSemaphore", CreateSemaphore},
    {"vkDestroySemaphore", DestroySemaphore},
    {"vkGetSemaphoreCounterValue", GetSemaphoreCounterValue},
    {"vkWaitSemaphores", nothing},
    {"vkSignalSemaphore", SignalSemaphore},
    {"vkGetQueryPoolResults", GetQueryPoolResults},
    {"vkGetBufferMemoryRequirements", GetBufferMemoryRequirements},
    {"vkGetBufferMemoryRequirements2", GetBufferMemoryRequirements2},
    {"vkGetDeviceBufferMemoryRequirements", GetDeviceBufferMemoryRequirements},
    {"vkAllocateMemory", AllocateMemory},
    {"vkFreeMemory", FreeMemory},
    {"vkMapMemory", MapMemory},
    {"vkUnmapMemory", nothing},
    {"vkFlushMappedMemoryRanges", nothing},
    {"vkInvalidateMappedMemoryRanges", nothing},
    {"vkCreateComputePipelines", CreateComputePipelines},
};

static const Function OF_PHYSICAL_DEVICES[] = {
    {"vkGetPhysicalDeviceMemoryProperties", GetPhysicalDeviceMemoryProperties},
    {"vkGetPhysicalDeviceMemoryProperties2", GetPhysicalDeviceMemoryProperties2},
    {"vkGetPhysicalDeviceProperties", GetPhysicalDeviceProperties},
    {"vkGetPhysicalDeviceProperties2", GetPhysicalDeviceProperties2},
};

#define COUNT(table) (sizeof table / sizeof *table)

// Functions that an extension brought before they became part of Vulkan have the same name and KHR behind it.
static PFN_vkVoidFunction in_table(const Function *table, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(table[i].name);
    if (strncmp(table[i].name, name, length)) continue;
    if (!name[length] || !strcmp(name + length, "KHR")) return (PFN_vkVoidFunction)table[i].function;
  }
  return NULL;
}

static PFN_vkVoidFunction of_device(const char *name) {
  PFN_vkVoidFunction found = in_table(OF_DEVICES, COUNT(OF_DEVICES), name);
  return found || strncmp(name, "vkCmd", 5) ? found : (PFN_vkVoidFunction)nothing;
}

static CALL PFN_vkVoidFunction GetDeviceProcAddr(VkDevice device, const char *name) {
  PFN_vkVoidFunction found = of_device(name);
  Device *d = found ? NULL : device_of(device);
  return d ? d->get(device, name) : found;
}

static CALL PFN_vkVoidFunction GetInstanceProcAddr(VkInstance instance, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)GetInstanceProcAddr;
  if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)CreateInstance;
  if (!strcmp(name, "vkDestroyInstance")) return (PFN_vkVoidFunction)DestroyInstance;
  if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)CreateDevice;
  PFN_vkVoidFunction found = in_table(OF_PHYSICAL_DEVICES, COUNT(OF_PHYSICAL_DEVICES), name);
  if (!found) found = of_device(name);
  Instance *i = found || !instance ? NULL : instance_of(instance);
  return i ? i->get(instance, name) : found;
}

// The loader asks here for functions of physical devices that it does not know itself.
static CALL PFN_vkVoidFunction GetPhysicalDeviceProcAddr(VkInstance instance, const char *name) {
  PFN_vkVoidFunction found = in_table(OF_PHYSICAL_DEVICES, COUNT(OF_PHYSICAL_DEVICES), name);
  Instance *i = found || !instance ? NULL : instance_of(instance);
  return i && i->get_physical ? i->get_physical(instance, name) : found;
}

__attribute__((visibility("default"))) CALL VkResult vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *v) {
  if (v->loaderLayerInterfaceVersion < 2) return VK_ERROR_INITIALIZATION_FAILED;
  v->loaderLayerInterfaceVersion = 2;
  v->pfnGetInstanceProcAddr = GetInstanceProcAddr;
  v->pfnGetDeviceProcAddr = GetDeviceProcAddr;
  v->pfnGetPhysicalDeviceProcAddr = GetPhysicalDeviceProcAddr;
  return VK_SUCCESS;
}
