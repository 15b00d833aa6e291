/** What a device can do, as far as the engine relies on it. */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { WebGpuAdapterInfo, WebGpuDevice } from './webgpu-types.ts';

/** How f16 values lie in memory on a device: as f16, or two to a u32 where shader-f16 is absent or slower. */
export type HalfStorage = 'f16' | 'f16-packed';

/** What the engine may rely on: the granted limits and features of one device, as plain data. */
export interface Caps {
  /** Maker of the adapter, such as 'nvidia'; '' where it is not told. */
  readonly vendor: string;
  /** Family of chips, such as 'ampere'; '' where it is not told. */
  readonly architecture: string;
  /** The maker's number or name of the chip; '' where it is not told. */
  readonly device: string;
  /** The driver's own words; '' where they are not told. */
  readonly description: string;
  /** Vulkan in software (lavapipe, SwiftShader): barriers are slow, broadcasts are free. */
  readonly software: boolean;
  /** How float16 lies in memory. */
  readonly half: HalfStorage;
  /** The subgroup size where the device has one fixed size, else 0. */
  readonly subgroupSize: number;
  /** Whether kernels may ask for subgroups of 32 lanes (`@subgroup_size`) where the device has larger ones too; left out: no. */
  readonly pins32?: boolean | undefined;
  /** Whether the device can time its own work. */
  readonly timestamps: boolean;
  /** Bytes of the largest storage binding that is used; larger buffers are cut into windows. */
  readonly maxBindingBytes: number;
  /** Bytes of the largest storage binding that the device allows. */
  readonly grantedBindingBytes: number;
  /** Bytes that one buffer may have; larger weights and arenas are spread over several. */
  readonly maxBufferBytes: number;
  /** Bytes that the invocations of a workgroup share. */
  readonly maxWorkgroupBytes: number;
  /** Invocations of the largest workgroup. */
  readonly maxInvocations: number;
  /** Storage buffers that one kernel may bind. */
  readonly maxStorageBuffers: number;
  /** Workgroups that a dispatch may have in each of its three dimensions, 65535 by default. */
  readonly maxWorkgroups: number;
  /** Bytes: offsets of storage bindings are multiples of it. */
  readonly storageAlign: number;
  /** Bytes: offsets of uniform bindings are multiples of it. */
  readonly uniformAlign: number;
}

/** Bytes of the largest storage binding that every WebGPU device allows. */
export const DEFAULT_BINDING_BYTES: number = 128 * 2 ** 20;

const OPTIONS = namesOf<CapsOptions>({ maxBindingBytes: 1, maxBufferBytes: 1, half: 1 });

const SOFTWARE = /llvmpipe|lavapipe|swiftshader|warp|softpipe/i;

/** What a caller may decide about the capabilities that the engine relies on. */
export interface CapsOptions {
  /**
   * Upper bound for one storage binding in bytes, a whole number from 4096 on; default what the device allows. No bit of any result
   * depends on it: what is larger is bound in windows.
   */
  maxBindingBytes?: number | undefined;
  /** Upper bound for one buffer in bytes; default the device's limit maxBufferSize. Tests set it low. */
  maxBufferBytes?: number | undefined;
  /** How halves are stored; default f16 on GPUs that have it, packed on software (docs/decisions/0005). Needs shader-f16. */
  half?: HalfStorage | undefined;
}

/** Reads the capabilities off a granted device. */
export function readCaps(device: WebGpuDevice, info: WebGpuAdapterInfo, options: CapsOptions = {}): Caps {
  checkNames('readCaps', options, OPTIONS);
  checkBinding(options.maxBindingBytes);
  const limits = device.limits;
  const subgroups = device.features.has('subgroups' as GPUFeatureName);
  const min = info.subgroupMinSize ?? 0;
  const software = SOFTWARE.test(`${info.vendor} ${info.architecture} ${info.description}`);
  const half = options.half ?? (software ? 'f16-packed' : 'f16');
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    software,
    half: device.features.has('shader-f16') ? half : 'f16-packed',
    subgroupSize: subgroups && min === info.subgroupMaxSize ? min : 0,
    pins32:
      device.features.has('subgroup-size-control' as GPUFeatureName) && min <= 32 && (info.subgroupMaxSize ?? 0) > 32,
    timestamps: device.features.has('timestamp-query'),
    // Kernels count vec4s and elements of a whole value in u32, and take a window's start away before they index: whatever a
    // device allows is within reach.
    maxBindingBytes: Math.min(limits.maxStorageBufferBindingSize, options.maxBindingBytes ?? Number.POSITIVE_INFINITY),
    grantedBindingBytes: limits.maxStorageBufferBindingSize,
    maxBufferBytes: Math.min(limits.maxBufferSize, options.maxBufferBytes ?? limits.maxBufferSize),
    maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
    storageAlign: limits.minStorageBufferOffsetAlignment,
    uniformAlign: limits.minUniformBufferOffsetAlignment,
  };
}

/** Least of `maxBindingBytes`: less than a row of wide layers cannot work. */
export const LEAST_BINDING_BYTES = 4096;

function checkBinding(value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= LEAST_BINDING_BYTES)) return;
  throw new InputError({
    op: 'Gpu.request',
    problem: 'no size of a binding',
    expected: `a whole number of bytes from ${LEAST_BINDING_BYTES} on`,
    value,
    path: 'maxBindingBytes',
    fix: 'Leave it out to use what the device allows.',
  });
}
