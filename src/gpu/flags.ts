/** WebGPU's flags by their numbers in the specification: a host that only plans has no globals of WebGPU. */

/** What buffers are for; as GPUBufferUsage. */
export const USAGE = {
  MAP_READ: 1,
  MAP_WRITE: 2,
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 64,
  STORAGE: 128,
  QUERY_RESOLVE: 512,
} as const;
/** As GPUMapMode.READ. */
export const MAP_READ = 1;
/** As GPUMapMode.WRITE. */
export const MAP_WRITE = 2;
/** As GPUShaderStage.COMPUTE. */
export const COMPUTE_STAGE = 4;
