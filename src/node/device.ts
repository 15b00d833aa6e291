/**
 * The device in Node: Dawn from the optional package `webgpu`, loaded when it is asked for. What a device can do is
 * read in src/gpu; this file knows which packages and drivers must be there, and says so when they are not.
 */

import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { DeviceError, InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { Caps } from '../gpu/caps.ts';
import { Gpu, type GpuOptions } from '../gpu/device.ts';
import { describeAdapter } from '../gpu/grant.ts';
import type { WebGpuAdapterInfo, WebGpuLimits } from '../gpu/webgpu-types.ts';
import { hostMemory } from './host-memory.ts';
import { keptTuning } from './kept-tuning.ts';

/** What `requestGpu` takes beside the options of `Gpu.request`. */
export interface NodeGpuOptions extends Omit<GpuOptions, 'gpu' | 'device' | 'availableBytes' | 'trusted'> {
  /** Further flags for Dawn, such as 'backend=null'; features of 'enable-dawn-features=' come on top of the library's own. */
  dawnFlags?: readonly string[] | undefined;
  /**
   * Runs kernels without Dawn's checks of indices (its toggle `disable_robustness`); default false. No bit of any result depends on it.
   * With the checks, an index outside of a buffer or an array reads or writes another place inside; without them it reads or writes
   * whatever memory lies there, of this process or, where the driver does not hinder it, of others, or ends the process. Kernels index
   * by shapes (of tensors, weights, pictures and token ids) and lengths of caches, all of which the library checks or makes; ids, frames
   * and rows that a kernel reads from a buffer it compares with the bounds itself. So only a defect of the library, of Dawn or of the
   * driver can reach foreign memory: say true for models and files that you trust, where such a defect would find no attacker.
   * docs/decisions/0026 says what the kernels were put to.
   */
  trusted?: boolean | undefined;
}

/** One adapter that Dawn sees, and what it offers. */
export interface AdapterDescription {
  /** Dawn's name of the adapter, for `adapterName`. */
  readonly name: string;
  /** 'vulkan', 'metal', 'd3d12', or another of Dawn's. */
  readonly backend: string;
  /** Vendor, architecture, device and driver, in WebGPU's own words. */
  readonly info: WebGpuAdapterInfo;
  /** WebGPU's names of what it offers, sorted. */
  readonly features: readonly string[];
  /** The largest values that a device of it may be granted. */
  readonly limits: WebGpuLimits;
}

interface Dawn {
  create(flags: string[]): GPU;
  readonly globals: object;
}

const OPTIONS = namesOf<NodeGpuOptions>({
  ...{ software: 1 },
  ...{
    powerPreference: 1,
    forceFallbackAdapter: 1,
    adapterName: 1,
    bare: 1,
    without: 1,
    maxBindingBytes: 1,
    maxBufferBytes: 1,
    half: 1,
    matrixUnits: 1,
  },
  ...{ dawnFlags: 1, trusted: 1, tuning: 1 },
});
const FEATURES = 'enable-dawn-features=';
const FLAGS = [`${FEATURES}allow_unsafe_apis,vulkan_enable_f16_on_nvidia`];
const TRUSTED = `${FEATURES}disable_robustness`;
const ICD_FOLDERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];

/** Dawn's entry points by their flags. The process crashes once an object that `create` returned is collected. */
const instances = new Map<string, GPU>();

/**
 * Requests a device from Dawn, with every feature that the engine can use.
 * @param options as for `Gpu.request`; `adapterName` picks an adapter by any part of its name
 * @returns a device; `dispose` it, or the process stays alive
 * @throws DeviceError when the package `webgpu` or a Vulkan, Metal or D3D12 driver is missing, or the driver is too old; InputError for a
 * `trusted` that is no boolean, and for a tuning as `Gpu.request`
 */
export async function requestGpu(options: NodeGpuOptions = {}): Promise<Gpu> {
  checkNames('requestGpu', options, OPTIONS);
  const { dawnFlags = [], trusted = false, tuning, ...rest } = options;
  if (typeof trusted !== 'boolean') refuseTrust(trusted);
  const named = rest.adapterName === undefined ? [] : [`adapter=${await fullName(rest.adapterName)}`];
  const gpu = await dawn([...named, ...dawnFlags, ...(trusted ? [TRUSTED] : [])]);
  const { adapterName: _, ...request } = rest;
  try {
    const tuned = tuning === 'kept' ? (caps: Caps) => keptTuning(caps) : tuning;
    return await Gpu.request({ ...request, tuning: tuned, gpu: bound(gpu), availableBytes: hostMemory() });
  } catch (error) {
    throw error instanceof DeviceError && /no WebGPU adapter/.test(error.problem) ? noAdapter(error) : error;
  }
}

/** A word such as 'no', out of an environment perhaps, takes no checks away. */
function refuseTrust(value: unknown): never {
  throw new InputError({
    op: 'requestGpu',
    problem: 'not a statement of trust',
    expected: 'true or false',
    value,
    path: 'trusted',
    fix: 'Leave it out to keep the checks.',
  });
}

/**
 * Every adapter that Dawn can use on this machine.
 * @throws DeviceError when there is none, or no package `webgpu`
 */
export async function listAdapters(): Promise<AdapterDescription[]> {
  const found: AdapterDescription[] = [];
  for (const { backend, name } of await adapterNames()) {
    const adapter = await (await dawn([`backend=${backend}`, `adapter=${name}`])).requestAdapter();
    if (!adapter) continue;
    const features = [...adapter.features].sort();
    found.push({ name, backend, info: adapter.info, features, limits: adapter.limits });
  }
  if (found.length === 0) throw noAdapter();
  return found;
}

/** Dawn's flag is case-sensitive and matches Dawn's own names only; users see and type the longer descriptions too. */
async function fullName(asked: string): Promise<string> {
  const names = await adapterNames();
  if (names.length === 0) throw noAdapter();
  const wanted = asked.toLowerCase();
  for (const { backend, name } of names) {
    if (name.toLowerCase().includes(wanted)) return name;
    const adapter = await (await dawn([`backend=${backend}`, `adapter=${name}`])).requestAdapter();
    if (adapter && describeAdapter(adapter.info).toLowerCase().includes(wanted)) return name;
  }
  throw new DeviceError({
    op: 'requestGpu',
    problem: 'no adapter has this name',
    expected: `part of ${names.map(n => `'${n.name}'`).join(' or ')}`,
    received: `'${asked}'`,
    fix: 'Run `pentimento devices` to see the adapters.',
  });
}

/** Dawn lists its adapters in the message with which it refuses a name that no adapter has. */
async function adapterNames(): Promise<{ backend: string; name: string }[]> {
  const gpu = await dawn(['adapter=\u0001 no adapter is called so']);
  const text = await gpu.requestAdapter().then(
    () => '',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  return [...text.matchAll(/backend: '([^']*)', name: '([^']*)'/g)]
    .map(([, backend = '', name = '']) => ({ backend, name }))
    .filter(({ backend }) => backend !== 'null');
}

async function dawn(flags: readonly string[]): Promise<GPU> {
  const key = flags.join('\n');
  const known = instances.get(key);
  if (known) return known;
  const { create, globals } = await load();
  Object.assign(globalThis, globals);
  // Mesa complains on stderr without it.
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
  const gpu = create(joined([...FLAGS, ...flags]));
  instances.set(key, gpu);
  return gpu;
}

/** Dawn takes one list of features, the last: those of all flags become one. */
function joined(flags: readonly string[]): string[] {
  const lists = flags.filter(flag => flag.startsWith(FEATURES)).map(flag => flag.slice(FEATURES.length));
  return [
    ...flags.filter(flag => !flag.startsWith(FEATURES)),
    `${FEATURES}${[...new Set(lists.join().split(','))].join()}`,
  ];
}

async function load(): Promise<Dawn> {
  const name = 'webgpu'; // through a variable: bundlers must not look for an optional package
  try {
    return (await import(/* @vite-ignore */ name)) as Dawn;
  } catch (cause) {
    const absent = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    throw new DeviceError({
      op: 'requestGpu',
      problem: absent ? "the package 'webgpu' is not installed" : "the package 'webgpu' cannot be loaded",
      received: absent ? undefined : cause instanceof Error ? cause.message.split('\n')[0] : cause,
      fix: absent
        ? `Run: npm install webgpu${ownWebGpu() ? "; or use this runtime's own WebGPU, by Gpu.request() of 'pentimento'" : ''}`
        : 'It has binaries for Linux and Windows (x64, arm64) and macOS: check that yours is among them, then reinstall it.',
      cause,
    });
  }
}

/** Whether the runtime has WebGPU without a package, as Deno has. */
function ownWebGpu(): boolean {
  return (globalThis as { navigator?: { gpu?: object } }).navigator?.gpu !== undefined;
}

/** `Gpu.request` calls `requestAdapter` on what it is given; Dawn's refusals arrive as exceptions there. */
function bound(gpu: GPU): GPU {
  return Object.assign(Object.create(gpu) as GPU, {
    requestAdapter: (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> =>
      gpu.requestAdapter(options).catch((cause: unknown) => {
        throw noAdapter(cause);
      }),
  });
}

function noAdapter(cause?: unknown): DeviceError {
  const drivers = process.platform === 'linux' ? vulkanDrivers() : undefined;
  const none = drivers?.length === 0;
  return new DeviceError({
    op: 'requestGpu',
    problem: none ? 'no Vulkan driver is installed' : 'no graphics driver on this machine can run WebGPU',
    expected: 'a Vulkan 1.1, Metal or D3D12 driver that Dawn accepts',
    received: none
      ? undefined
      : drivers && `drivers that are too old, or whose device is out of reach: ${drivers.join(', ')}`,
    fix:
      process.platform === 'linux'
        ? "Install a driver for the graphics card, or the software driver of Mesa 25 or newer (Debian and Ubuntu: package mesa-vulkan-drivers; on Debian 12 from bookworm-backports, which the repository's scripts/setup-debian.sh does)."
        : 'Update the graphics driver.',
    cause,
  });
}

/** Names of the Vulkan drivers that are installed, as their manifests are called. */
function vulkanDrivers(): string[] {
  const asked = process.env['VK_DRIVER_FILES'] ?? process.env['VK_ICD_FILENAMES'];
  if (asked) return asked.split(':');
  return ICD_FOLDERS.flatMap(folder => {
    try {
      return readdirSync(folder).filter(file => file.endsWith('.json'));
    } catch {
      return []; // no such folder
    }
  });
}
