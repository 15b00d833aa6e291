/**
 * The device: asking for an adapter, reading what it can do, building pipelines, and saying clearly what is missing.
 * Buffers and dispatches live in kernels/; this file knows nothing of tensors.
 */

import { DeviceError, InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type Caps, type CapsOptions, readCaps, SUBGROUP_MATRIX, tellsItsKind } from './caps.ts';
import { DEFAULT_CAPS, type DryObserver, dryDevice } from './dry-device.ts';
import { HeldMemory, isOutOfMemory, type Made } from './held-memory.ts';
import { PipelineCache } from './pipelines.ts';
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
  /**
   * What this process may still take of the machine's memory, in bytes; undefined where nobody knows. Asked before a larger
   * buffer is made on a device in software, whose memory is the machine's: what is refused so is an OutOfMemoryError, where
   * the driver would end the process. `requestGpu` of pentimento/node brings one.
   * @param heldBytes of the buffers on the device, which the system counts only once they are written
   */
  availableBytes?: ((heldBytes: number) => number | undefined) | undefined;
  /** Of `requestGpu` of pentimento/node alone, where it is described: true is refused here. */
  trusted?: boolean | undefined;
}

const OPTIONS = namesOf<GpuOptions>({
  ...{ software: 1 },
  ...{ gpu: 1, device: 1, powerPreference: 1, forceFallbackAdapter: 1, adapterName: 1, bare: 1 },
  ...{ maxBindingBytes: 1, maxBufferBytes: 1, half: 1, matrixUnits: 1, availableBytes: 1, trusted: 1 },
});

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
const NAMELESS = { vendor: '', architecture: '', device: '', description: '' } as GPUAdapterInfo;
/** Less is not worth a submission. */
const RECLAIMED_BYTES = 2 ** 24;
/** On a device that runs nothing: steps between two moments in which others are heard. */
const IDLES_UNHEARD = 64;
const UNSEEN: DryObserver = { created() {}, destroyed() {}, bound() {} };

/** A granted WebGPU device with its capabilities and its pipeline cache. */
export class Gpu {
  /** WebGPU's own device, for buffers and passes of the caller's. */
  readonly device: WebGpuDevice;
  /** What the device grants and how its memory is used. */
  readonly caps: Caps;
  /** @internal */ readonly pipelines: PipelineCache;
  /** @internal The library's buffers on it. */ readonly memory: HeldMemory;
  /** Whether it runs nothing: then values need not be made for it, and what is read back is zeros. */
  readonly dry: boolean;
  readonly #owned: boolean;
  #lost: GPUDeviceLostInfo | undefined;
  /** The first error that no scope caught: memory refused for a tensor, a submission on destroyed buffers. */
  #uncaught: { readonly error: GPUError; readonly made: Made } | undefined;
  #disposed = false;
  /** Works that write into mapped memory now. */
  #keepers = 0;
  /** Calls of `idle` on a device that runs nothing. */
  #idled = 0;

  private constructor(
    device: GPUDevice,
    caps: Caps,
    { owned, dry = false, availableBytes }: { owned: boolean; dry?: boolean } & Pick<GpuOptions, 'availableBytes'>,
  ) {
    this.device = device;
    this.caps = caps;
    this.pipelines = new PipelineCache(device);
    this.memory = new HeldMemory(device, caps.software && !dry ? availableBytes : undefined);
    this.#owned = owned;
    this.dry = dry;
    void device.lost.then(info => {
      this.#lost = info;
    });
    // On a device of the caller's, errors may be the caller's own.
    if (owned) device.addEventListener('uncapturederror', event => this.#notice(event));
  }

  #notice(event: GPUUncapturedErrorEvent): void {
    event.preventDefault();
    this.#uncaught ??= { error: event.error, made: this.memory.made };
  }

  /**
   * Requests an adapter and a device with the adapter's own maxima and every useful optional feature.
   *
   * @throws DeviceError without WebGPU, without an adapter, or where no adapter has the name asked for; InputError for `trusted: true`
   */
  static async request(options: GpuOptions = {}): Promise<Gpu> {
    checkNames('Gpu.request', options, OPTIONS);
    if (options.trusted) refuseTrusted();
    const { maxBindingBytes, maxBufferBytes, half, matrixUnits, availableBytes } = options;
    const own = { maxBindingBytes, maxBufferBytes, half, matrixUnits };
    if (options.device) {
      const info = options.device.adapterInfo ?? NAMELESS;
      const caps = await capsOf(options.device, info, { ...own, software: options.software });
      return new Gpu(options.device, caps, { owned: false, availableBytes });
    }
    const adapter = await requestAdapter(options);
    try {
      const device = await adapter.requestDevice(options.bare ? {} : wishes(adapter));
      const caps = await capsOf(device, adapter.info ?? NAMELESS, { ...own, software: options.software });
      return new Gpu(device, caps, { owned: true, availableBytes });
    } catch (cause) {
      throw new DeviceError({
        op: 'Gpu.request',
        problem: 'the adapter refused a device',
        received: describeAdapter(adapter.info ?? NAMELESS),
        fix: inPage()
          ? 'Close other tabs that use the graphics card, then reload the page; update browser and graphics driver.'
          : 'Update the graphics driver, or choose another adapter by adapterName.',
        cause,
      });
    }
  }

  /**
   * A device that runs nothing and holds nothing, to find out what something would take: `plan` needs no other.
   * @param caps what it is to grant; default WebGPU's default limits (128 MiB a binding, 256 MiB a buffer) and no features
   * @param observer told of every buffer
   */
  static dry(caps: Partial<Caps> = {}, observer: DryObserver = UNSEEN): Gpu {
    return new Gpu(dryDevice(observer), { ...DEFAULT_CAPS, ...caps }, { owned: true, dry: true });
  }

  /** Throws a DeviceError once the device is lost or disposed, and for an error that came outside of any call. */
  check(op: string): void {
    if (this.#disposed) {
      throw new DeviceError({ op, problem: 'the device was disposed', fix: 'Request a new one with Gpu.request().' });
    }
    if (this.#lost) {
      throw new DeviceError({
        op,
        problem: 'the device was lost',
        received: `${this.#lost.reason}: ${this.#lost.message}`,
        fix: 'Request a new device and load the models again; a driver reset or a time-out is the usual cause.',
      });
    }
    if (this.#uncaught === undefined) return;
    const { error, made } = this.#uncaught;
    this.#uncaught = undefined;
    if (isOutOfMemory(error)) throw this.memory.exhausted(op, made, error);
    throw new DeviceError({ op, problem: 'the device reported an error earlier', received: error.message });
  }

  /**
   * Runs `work` inside validation and out-of-memory scopes; turns what they catch into a DeviceError, and where memory ran out
   * into an OutOfMemoryError with the bytes that `work` asked for. `work` is synchronous: scopes are one stack a device, and two
   * that waited inside them would catch each other's errors.
   */
  async guarded<T>(op: string, work: () => T): Promise<T> {
    this.check(op);
    this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('validation');
    let caught: Promise<(GPUError | null)[]> | undefined;
    let result: T;
    try {
      result = this.memory.watch(op, work);
    } finally {
      caught = Promise.all([this.device.popErrorScope(), this.device.popErrorScope()]);
      caught.catch(() => {}); // where `work` throws, nobody waits for it
    }
    const { made } = this.memory; // before anyone else makes buffers
    const [invalid, exhausted] = await caught;
    if (exhausted) throw this.memory.exhausted(op, made, exhausted);
    if (invalid) throw new DeviceError({ op, problem: 'the device reported an error', received: invalid.message });
    return result;
  }

  /** Waits until everything submitted so far is done. */
  async idle(): Promise<void> {
    this.check('Gpu.idle');
    // A device that runs nothing never waits: whoever ends a plan of many steps could not be heard.
    if (this.dry && ++this.#idled % IDLES_UNHEARD === 0) await new Promise(resume => setTimeout(resume));
    await this.device.queue.onSubmittedWorkDone();
    this.check('Gpu.idle');
  }

  /**
   * @internal Before much is asked for: has the memory of destroyed buffers given back. Dawn frees it with the first submission
   * that follows, so that a network which leaves and one which comes would lie side by side.
   */
  async reclaim(): Promise<void> {
    if (this.memory.takeDestroyed() < RECLAIMED_BYTES) return;
    this.device.queue.submit([]);
    await this.idle();
  }

  /** @internal Runs work that writes into mapped memory from outside, such as a file's reads: the device outlives it. */
  async keptFor<T>(work: () => Promise<T>): Promise<T> {
    this.#keepers++;
    try {
      return await work();
    } finally {
      this.#keepers--;
      if (this.#disposed) this.#destroy();
    }
  }

  /** Destroys the device (unless the caller brought it) and everything on it, as soon as no file is read into its memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#destroy();
  }

  #destroy(): void {
    if (this.#owned && this.#keepers === 0) this.device.destroy();
  }
}

/** Only who makes Dawn can have its checks left out: browsers never do, and a device that was made already has them or not. */
function refuseTrusted(): never {
  throw new InputError({
    op: 'Gpu.request',
    problem: 'whether kernels check their indices is decided where Dawn is made; in a page they always do',
    value: true,
    path: 'trusted',
    fix: "Leave trusted out; in Node, requestGpu({ trusted: true }) of 'pentimento/node' makes such a device.",
  });
}

/** What an adapter has beyond WebGPU's defaults; empty lists are left out, which some validators refuse. */
function wishes({ features, limits }: GPUAdapter): GPUDeviceDescriptor {
  const requiredFeatures = FEATURES.filter(f => features.has(f as GPUFeatureName)) as GPUFeatureName[];
  const names = Object.keys(LIMITS) as (keyof typeof LIMITS)[];
  const more = names.filter(name => limits[name] > LIMITS[name]).map(name => [name, limits[name]] as const);
  return {
    ...(requiredFeatures.length > 0 && { requiredFeatures }),
    ...(more.length > 0 && { requiredLimits: Object.fromEntries(more) }),
  };
}

/** The device's capabilities; whether it is software is measured where nobody tells. */
async function capsOf(device: WebGpuDevice, info: WebGpuAdapterInfo, options: CapsOptions): Promise<Caps> {
  if (options.software !== undefined || tellsItsKind(info)) return readCaps(device, info, options);
  const { isSlowDevice } = await import('./measure-speed.ts');
  return readCaps(device, info, { ...options, software: await isSlowDevice(device) });
}

/** Whether a browser runs this: its visitors install no drivers by hand. */
function inPage(): boolean {
  return 'document' in globalThis || 'importScripts' in globalThis;
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
        : "In Node import { requestGpu } from 'pentimento/node' and install the 'webgpu' package; elsewhere use a runtime with WebGPU.",
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
