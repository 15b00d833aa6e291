/** Asking for an adapter and its device, and saying clearly what is missing. */

import { DeviceError, InputError, LoadError } from '../core/errors.ts';
import { inPage, loadPart } from '../core/load-part.ts';
import { type Caps, type CapsOptions, readCaps, SUBGROUP_MATRIX, tellsItsKind } from './caps.ts';
import type { FindTuning, PlainTuning } from './device-tuning.ts';
import type { WebGpu, WebGpuAdapterInfo, WebGpuDevice, WebGpuPowerPreference } from './webgpu-types.ts';

/** Which device `Gpu.request` asks for, or the one it takes. */
export interface GpuOptions extends CapsOptions {
  /** The WebGPU entry point; default `navigator.gpu`. In Node, `pentimento/node` supplies Dawn's. */
  gpu?: WebGpu | undefined;
  /** A device that the caller made and keeps; nothing is requested then and `dispose` leaves it alone. */
  device?: WebGpuDevice | undefined;
  /** Which of two chips, where a machine has two; by default the browser or driver chooses. */
  powerPreference?: WebGpuPowerPreference | undefined;
  /** Asks for the fallback (software) adapter. */
  forceFallbackAdapter?: boolean | undefined;
  /** Only an adapter whose vendor, architecture, device or description contains this text, case ignored. */
  adapterName?: string | undefined;
  /** Leaves out optional features: tests run the engine on a bare device by it. */
  bare?: boolean | undefined;
  /** Optional features that the device shall do without, to see what a lesser one would do; matrix units go with f16 and with subgroups. Default none. */
  without?: readonly OptionalFeature[] | undefined;
  /**
   * What this process may still take of the machine's memory, in bytes; undefined where nobody knows. Asked before a larger
   * buffer is made on a device in software, whose memory is the machine's: what is refused so is an OutOfMemoryError, where
   * the driver would end the process. `requestGpu` of pentimento/node brings one.
   * @param heldBytes of the buffers on the device, which the system counts only once they are written
   */
  availableBytes?: ((heldBytes: number) => number | undefined) | undefined;
  /**
   * Which variants of the kernels run, for every plan and the layout of every weight that name none of their own: a table that `tune`
   * measured on this adapter, or 'kept' for the one that was kept of it, where there is one, or what finds one, or choices by hand. Default
   * those of the lowest rank. It stays when a lost device is renewed, and is part of what "the same bits" holds fixed.
   */
  tuning?: PlainTuning | FindTuning | undefined;
  /** Of `requestGpu` of pentimento/node alone, where it is described: true is refused here. */
  trusted?: boolean | undefined;
}

/** A feature that is used where it is there, and that the engine can do without. */
export type OptionalFeature = 'timestamps' | 'subgroups' | 'f16' | 'matrix';

/** WebGPU's names of them. */
const NAMES: Readonly<Record<OptionalFeature, readonly string[]>> = {
  timestamps: ['timestamp-query'],
  subgroups: ['subgroups', 'subgroup-size-control', SUBGROUP_MATRIX],
  f16: ['shader-f16', SUBGROUP_MATRIX],
  matrix: [SUBGROUP_MATRIX],
};

const FEATURES = ['shader-f16', 'subgroups', 'subgroup-size-control', 'timestamp-query', SUBGROUP_MATRIX];
/** Limits that are asked for where an adapter has more than WebGPU's defaults, which are these. */
const LIMITS = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxStorageBuffersPerShaderStage: 8,
} as const;

/** Older browsers tell nothing of a device's adapter. */
export const NAMELESS = { vendor: '', architecture: '', device: '', description: '' } as GPUAdapterInfo;
/** Asks for an adapter, and it for a device with the adapter's own maxima and every useful optional feature. @throws DeviceError */
export async function grantDevice(
  options: GpuOptions,
  own: CapsOptions,
): Promise<{ readonly device: GPUDevice; readonly caps: Caps }> {
  const left = leftOut(options.without);
  const adapter = await requestAdapter(options);
  const info = adapter.info ?? NAMELESS;
  let device: GPUDevice | undefined;
  try {
    device = await requestDevice(adapter, options.bare ? {} : wishes(adapter, left));
    return { device, caps: await capsOf(device, info, { ...own, software: options.software }) };
  } catch (cause) {
    device?.destroy(); // nobody will
    if (cause instanceof LoadError) throw cause; // which is not the adapter's doing
    throw new DeviceError({
      op: 'Gpu.request',
      problem: 'the adapter refused a device',
      received: describeAdapter(info),
      fix: inPage()
        ? 'Close other tabs that use the graphics card, then reload the page; update browser and graphics driver.'
        : 'Update the graphics driver, or choose another adapter by adapterName.',
      cause,
    });
  }
}

/**
 * A device as wished for; where limits that the adapter itself tells are refused, as bun-webgpu refuses all, one with WebGPU's defaults,
 * on which everything runs too.
 */
async function requestDevice(adapter: GPUAdapter, wished: GPUDeviceDescriptor): Promise<GPUDevice> {
  const { requiredLimits, ...others } = wished;
  try {
    return await adapter.requestDevice(wished);
  } catch (cause) {
    if (!requiredLimits) throw cause;
    return adapter.requestDevice(others).catch(() => {
      throw cause;
    });
  }
}

/** WebGPU's names of what is left out. @throws InputError for a feature that there is not */
function leftOut(without: GpuOptions['without'] = []): string[] {
  const unknown = [...without].find(name => !Object.hasOwn(NAMES, name));
  if (unknown === undefined) return without.flatMap(name => NAMES[name]);
  throw new InputError({
    op: 'Gpu.request',
    problem: 'there is no such optional feature',
    expected: Object.keys(NAMES).join(', '),
    value: unknown,
    path: 'without',
    fix: 'Correct the name, or leave it out.',
  });
}

/** What an adapter has beyond WebGPU's defaults; empty lists are left out, which some validators refuse. */
function wishes({ features, limits }: GPUAdapter, left: readonly string[]): GPUDeviceDescriptor {
  const wanted = FEATURES.filter(f => !left.includes(f));
  const requiredFeatures = wanted.filter(f => features.has(f as GPUFeatureName)) as GPUFeatureName[];
  const names = Object.keys(LIMITS) as (keyof typeof LIMITS)[];
  const more = names.filter(name => limits[name] > LIMITS[name]).map(name => [name, limits[name]] as const);
  return {
    ...(requiredFeatures.length > 0 && { requiredFeatures }),
    ...(more.length > 0 && { requiredLimits: Object.fromEntries(more) }),
  };
}

/** The device's capabilities; whether it is software is measured where nobody tells. */
export async function capsOf(device: WebGpuDevice, info: WebGpuAdapterInfo, options: CapsOptions): Promise<Caps> {
  if (options.software !== undefined || tellsItsKind(info)) return readCaps(device, info, options);
  const { isSlowDevice } = await loadPart('what measures devices', () => import('./measure-speed.ts'));
  return readCaps(device, info, { ...options, software: await isSlowDevice(device) });
}

async function requestAdapter(options: GpuOptions): Promise<GPUAdapter> {
  const gpu = options.gpu ?? (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) {
    throw new DeviceError({
      op: 'Gpu.request',
      problem: 'this JavaScript runtime has no WebGPU',
      received: globalThis.isSecureContext === false ? 'a page that is not secure' : 'navigator.gpu is undefined',
      fix: inPage()
        ? 'Use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141, or newer), and open the page over https or from localhost.'
        : "In Node and Bun import { requestGpu } from 'pentimento/node' and install the 'webgpu' package; elsewhere use a runtime with WebGPU.",
    });
  }
  const request: GPURequestAdapterOptions = {};
  if (options.powerPreference) request.powerPreference = options.powerPreference;
  if (options.forceFallbackAdapter) request.forceFallbackAdapter = true;
  const adapter = await gpu.requestAdapter(request);
  if (!adapter) {
    throw new DeviceError({
      op: 'Gpu.request',
      problem: 'no WebGPU adapter was found',
      expected: inPage() ? 'a graphics card that the browser uses' : 'a Vulkan, Metal or D3D12 driver',
      fix: inPage()
        ? 'Update browser and graphics driver, and turn hardware acceleration on in the settings of the browser; chrome://gpu or about:support says what is missing.'
        : 'On Linux install a Vulkan driver (a software one: Mesa 25 or newer, package mesa-vulkan-drivers; older ones are refused by Dawn) and set XDG_RUNTIME_DIR.',
    });
  }
  const name = describeAdapter(adapter.info ?? NAMELESS);
  if (options.adapterName && !name.toLowerCase().includes(options.adapterName.toLowerCase())) {
    throw new DeviceError({
      op: 'Gpu.request',
      problem: 'the adapter on offer has another name',
      expected: options.adapterName,
      received: name,
      fix: inPage()
        ? 'Leave adapterName out: a page gets what the browser chooses.'
        : 'Run `pentimento devices` to see the names, or set powerPreference.',
    });
  }
  return adapter;
}

/** Vendor, architecture, device and description in one line. */
export function describeAdapter(info: WebGpuAdapterInfo): string {
  return [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ') || 'unnamed adapter';
}
