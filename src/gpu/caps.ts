/** What a device can do, as far as the engine relies on it. */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { WebGpuAdapterInfo, WebGpuDevice } from './webgpu-types.ts';

/** How f16 values lie in memory on a device: as f16, or two to a u32 where shader-f16 is absent or slower. */
export type HalfStorage = 'f16' | 'f16-packed';

/** Sizes of the fragments that a device's matrix units multiply: [M, K] times [K, N] added to [M, N]. */
export interface MatrixUnits {
  /** Rows of the left fragment and of the result. */
  readonly m: number;
  /** Columns of the right fragment and of the result. */
  readonly n: number;
  /** Columns of the left fragment, and rows of the right one. */
  readonly k: number;
  /** What is multiplied; sums are f32 always. */
  readonly component: 'f16' | 'f32';
  /** Invocations of the subgroups that multiply. */
  readonly lanes: number;
  /** Whether kernels say so (`@subgroup_size`): needed where the device has subgroups of several sizes. */
  readonly pinned: boolean;
  /** Whether kernels for them go before all others: not on software, which only emulates them, unless asked for. */
  readonly preferred: boolean;
}

/** What the engine may rely on: the granted limits and features of one device, as plain data. */
export interface Caps {
  /** Maker of the adapter, such as 'nvidia', also where its number is told (Deno); '' where nothing is. */
  readonly vendor: string;
  /** Family of chips, such as 'ampere'; '' where it is not told. */
  readonly architecture: string;
  /** The maker's number or name of the chip; '' where it is not told. */
  readonly device: string;
  /** The driver's own words; '' where they are not told. */
  readonly description: string;
  /** Vulkan in software (lavapipe, SwiftShader, every fallback adapter): barriers are slow, broadcasts are free. */
  readonly software: boolean;
  /** How float16 lies in memory. */
  readonly half: HalfStorage;
  /** The subgroup size where the device has one fixed size, else 0. */
  readonly subgroupSize: number;
  /** Whether kernels may ask for subgroups of 32 lanes (`@subgroup_size`) where the device has larger ones too; left out: no. */
  readonly pins32?: boolean | undefined;
  /** The matrix units that kernels of the family `matrix` use; undefined where there are none in reach. */
  readonly matrix?: MatrixUnits | undefined;
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

const OPTIONS = namesOf<CapsOptions>({ maxBindingBytes: 1, maxBufferBytes: 1, half: 1, matrixUnits: 1, software: 1 });

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
  /**
   * Whether matrix units are used where the device has them in reach and dtype is float16; default true on GPUs, false on software,
   * whose units are no faster.
   */
  matrixUnits?: boolean | undefined;
  /**
   * Whether this is Vulkan in software, whose kernels are others; default what the adapter tells, and where it tells nothing, as Firefox, what
   * Gpu.request measures.
   */
  software?: boolean | undefined;
}

/** Whether an adapter tells anything by which software is known. */
export function tellsItsKind(info: WebGpuAdapterInfo): boolean {
  const { vendor, architecture, device, description, isFallbackAdapter } = info as Partial<GPUAdapterInfo>;
  return Boolean(vendor || architecture || device || description) || isFallbackAdapter !== undefined;
}

/** Whether an adapter says that it is Vulkan in software. */
export function isSoftware(info: WebGpuAdapterInfo): boolean {
  return info.isFallbackAdapter === true || SOFTWARE.test(`${info.vendor} ${info.architecture} ${info.description}`);
}

/** Makers by their numbers, of PCI and, above 2^16, of Khronos: wgpu, and so Deno, tells these. */
const MAKERS: Readonly<Record<string, string>> = {
  ...{ 4098: 'amd', 4112: 'imgtec', 4203: 'apple', 4318: 'nvidia', 5045: 'arm', 5140: 'microsoft', 20803: 'qualcomm' },
  ...{ 32902: 'intel', 65541: 'mesa' },
};

/** A maker's name in WebGPU's words; Metal has no numbers, but names the chip. */
function makerOf({ vendor, description }: WebGpuAdapterInfo): string {
  if (vendor === '0') return /^apple\b/i.test(description) ? 'apple' : '';
  return MAKERS[vendor] ?? vendor;
}

/** Reads the capabilities off a granted device. */
export function readCaps(device: WebGpuDevice, info: WebGpuAdapterInfo, options: CapsOptions = {}): Caps {
  checkNames('readCaps', options, OPTIONS);
  checkBinding(options.maxBindingBytes);
  const limits = device.limits;
  const subgroups = device.features.has('subgroups' as GPUFeatureName);
  const min = info.subgroupMinSize ?? 0;
  const software = options.software ?? isSoftware(info);
  const half = options.half ?? (software ? 'f16-packed' : 'f16');
  return {
    vendor: makerOf(info),
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    software,
    half: device.features.has('shader-f16') ? half : 'f16-packed',
    subgroupSize: subgroups && min === info.subgroupMaxSize ? min : 0,
    pins32:
      device.features.has('subgroup-size-control' as GPUFeatureName) && min <= 32 && (info.subgroupMaxSize ?? 0) > 32,
    matrix: matrixUnits(device, info, options.matrixUnits ?? !software),
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

/** WebGPU's name of the experimental feature, which Dawn has in Node and Chrome behind a flag. */
export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix';

/** A combination of fragments that an adapter offers; Dawn's own form. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Fragments that kernels are written for, the best first: of halves, else (Apple's) of singles. All sum in f32. */
const FRAGMENTS = [
  ['f16', 16, 16, 16],
  ['f16', 8, 16, 16],
  ['f16', 16, 8, 16],
  ['f16', 8, 8, 8],
  ['f32', 8, 8, 8],
] as const;

function matrixUnits(device: WebGpuDevice, info: WebGpuAdapterInfo, preferred: boolean): MatrixUnits | undefined {
  const has = (feature: string) => device.features.has(feature as GPUFeatureName);
  if (!has(SUBGROUP_MATRIX) || !has('shader-f16')) return undefined;
  const { subgroupMatrixConfigs: offered = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  const configs = [...offered].filter(config => config.resultComponentType === 'f32');
  const found = FRAGMENTS.find(([component, m, n, k]) =>
    configs.some(c => c.componentType === component && c.M === m && c.N === n && c.K === k),
  );
  const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = info;
  const pinned = has('subgroup-size-control');
  if (!found || most === 0 || (!pinned && least !== most)) return undefined;
  const [component, m, n, k] = found;
  // A fragment of 16 x 16 on subgroups of 64 has only been seen to work on 32; Intel's units are 16 wide.
  const lanes = Math.min(Math.max(m === 8 && n === 16 ? 16 : 32, least), most);
  return { m, n, k, component, lanes, pinned, preferred };
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

/** All forms of halves. */
export const HALVES: readonly HalfStorage[] = ['f16', 'f16-packed'];
const AMOUNTS = [
  ...(['maxBindingBytes', 'grantedBindingBytes', 'maxBufferBytes', 'maxWorkgroupBytes', 'maxInvocations'] as const),
  ...(['maxStorageBuffers', 'maxWorkgroups', 'storageAlign', 'uniformAlign'] as const),
] as const;

/**
 * Checks capabilities that somebody has written down.
 * @param op the method, for the message
 * @throws InputError for what is no capabilities, or lacks some
 */
export function checkCaps(op: string, caps: Caps): void {
  const given = Object(caps) as Readonly<Record<string, unknown>>;
  const fix = 'Pass DEFAULT_CAPS, or { ...DEFAULT_CAPS, ...others }.';
  const check = (name: keyof Caps, expected: string, holds: boolean): void => {
    if (holds) return;
    const problem = 'not the capabilities of a device';
    throw new InputError({ op, problem, expected, value: given[name], path: `caps.${name}`, fix });
  };
  for (const name of AMOUNTS) {
    const value = given[name];
    check(name, 'a whole number above 0', Number.isSafeInteger(value) && (value as number) > 0);
  }
  const lanes = given['subgroupSize'];
  check('subgroupSize', 'a whole number from 0 on', Number.isSafeInteger(lanes) && (lanes as number) >= 0);
  check('half', HALVES.join(' or '), HALVES.includes(given['half'] as HalfStorage));
  for (const name of ['software', 'timestamps'] as const)
    check(name, 'true or false', typeof given[name] === 'boolean');
}
