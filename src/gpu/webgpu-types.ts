/**
 * The shapes of WebGPU that the public types show: the program's own where it has them (TypeScript 6 and newer in their DOM
 * library, older ones from a package), else the few members that a program without them can use.
 */
import type { Platform } from '../core/platform.ts';

/** The entry point of WebGPU: what `navigator.gpu` is, or what a binding such as Dawn's creates. */
export type WebGpu = Platform<
  'GPU',
  {
    /** An adapter, or null where there is none. */
    requestAdapter(options?: object): Promise<object | null>;
  }
>;

/** A device of WebGPU. */
export type WebGpuDevice = Platform<'GPUDevice', PlainDevice>;

/** A buffer of device memory. */
export type WebGpuBuffer = Platform<'GPUBuffer', PlainBuffer>;

/** A compiled compute shader with its entry point. */
export type WebGpuComputePipeline = Platform<'GPUComputePipeline', PlainObject>;

/** The kinds of resources that a pipeline binds. */
export type WebGpuBindGroupLayout = Platform<'GPUBindGroupLayout', PlainObject>;

/** Records dispatches. */
export type WebGpuComputePass = Platform<'GPUComputePassEncoder', PlainObject>;

/** Who made an adapter. */
export type WebGpuAdapterInfo = Platform<'GPUAdapterInfo', PlainAdapterInfo>;

/** What a device grants, by the names that WebGPU's specification gives its limits. */
export type WebGpuLimits = Platform<'GPUSupportedLimits', PlainLimits>;

/** Which of two graphics chips: the one that saves power or the one that is fast. */
export type WebGpuPowerPreference = 'low-power' | 'high-performance';

/** What other objects of WebGPU have where the program knows no WebGPU. */
export interface PlainObject {
  /** Name for messages and tools. */
  label: string;
}

/** What {@link WebGpuDevice} has where the program knows no WebGPU. */
export interface PlainDevice {
  /** Name for messages and tools. */
  label: string;
  /** Names such as 'shader-f16'. */
  readonly features: {
    /** Whether it was granted. */
    has(name: string): boolean;
  };
  /** What the device grants. */
  readonly limits: PlainLimits;
  /** Settles when the device is lost, with a reason ('destroyed' or 'unknown') and the driver's words. */
  readonly lost: Promise<{
    /** 'destroyed' or 'unknown'. */
    readonly reason: string;
    /** The driver's words. */
    readonly message: string;
  }>;
  /** Frees the device and everything on it. */
  destroy(): void;
}

/** What {@link WebGpuBuffer} has where the program knows no WebGPU. */
export interface PlainBuffer {
  /** Name for messages and tools. */
  label: string;
  /** Bytes. */
  readonly size: number;
  /** The flags of GPUBufferUsage. */
  readonly usage: number;
  /** Frees the memory. */
  destroy(): void;
}

/** What {@link WebGpuAdapterInfo} has where the program knows no WebGPU; '' stands for what is not told. */
export interface PlainAdapterInfo {
  /** Maker, such as 'nvidia'. */
  readonly vendor: string;
  /** Family of chips, such as 'ampere'. */
  readonly architecture: string;
  /** The maker's number or name of the chip. */
  readonly device: string;
  /** The driver's own words, such as 'llvmpipe (LLVM 19.1.7, 256 bits)'. */
  readonly description: string;
  /** Whether it is software; undefined where that is not told. */
  readonly isFallbackAdapter?: boolean;
}

/** What {@link WebGpuLimits} has where the program knows no WebGPU. */
export interface PlainLimits {
  /** Bytes of the largest buffer. */
  readonly maxBufferSize: number;
  /** Bytes of the largest storage binding. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes that a workgroup shares. */
  readonly maxComputeWorkgroupStorageSize: number;
  /** Invocations of a workgroup. */
  readonly maxComputeInvocationsPerWorkgroup: number;
  /** Workgroups along a side of a dispatch. */
  readonly maxComputeWorkgroupsPerDimension: number;
  /** Storage buffers that one shader may bind. */
  readonly maxStorageBuffersPerShaderStage: number;
}
