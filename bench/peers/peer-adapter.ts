/** The adapter that a peer shall run on, and how each is brought onto it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { isSoftware } from '../../src/gpu/caps.ts';
import { paceDawn } from '../../src/node/dawn-pace.ts';
import { type AdapterDescription, listAdapters } from '../../src/node/device.ts';
import type { BenchAdapter } from '../schema.ts';

/** What of Dawn's module is used. */
interface Dawn {
  create(flags: string[]): GPU;
  readonly globals: object;
}

/** The toggles that ours runs with. */
const FEATURES = 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia';
const ICD_FOLDERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];

/** The adapter with this description; without one Dawn's own choice. */
export async function findAdapter(wanted: BenchAdapter | undefined): Promise<AdapterDescription | undefined> {
  const all = await listAdapters();
  const offered = wanted ?? (await byDefault());
  return all.find(({ info }) => offered && sameAdapter(info, offered));
}

/** Whether two descriptions are those of one adapter and driver. */
export function sameAdapter(a: Omit<BenchAdapter, 'vendor'>, b: Omit<BenchAdapter, 'vendor'>): boolean {
  return a.architecture === b.architecture && a.device === b.device && a.description === b.description;
}

/** A description in a line. */
export function inWords({ vendor, architecture, device, description }: BenchAdapter): string {
  return [vendor, architecture, device, description].filter(Boolean).join(' ') || 'an adapter without a name';
}

/** Dawn's entry points, which must not be collected while a device lives. */
const kept: GPU[] = [];

/**
 * `navigator.gpu` for engines that are written for pages: it has this one adapter. On software their waiting is ours: no turn of the event
 * loop is counted among their seconds that is not among ours.
 * @param trusted without Dawn's checks of indices
 * @returns what tells the adapter that the engine asked for last
 */
export async function pretendPage(
  { name, backend, info }: AdapterDescription,
  trusted: boolean,
): Promise<() => BenchAdapter | undefined> {
  if (isSoftware(info)) paceDawn();
  const { create, globals } = await dawn();
  Object.assign(globalThis, globals);
  const gpu = create([`backend=${backend}`, `adapter=${name}`, trusted ? `${FEATURES},disable_robustness` : FEATURES]);
  kept.push(gpu);
  let granted: BenchAdapter | undefined;
  const requestAdapter = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> => {
    const adapter = await gpu.requestAdapter(options);
    granted = adapter?.info;
    return adapter;
  };
  const page = { requestAdapter, wgslLanguageFeatures: gpu.wgslLanguageFeatures };
  const value = { gpu: page, userAgent: 'Node', hardwareConcurrency: 1 };
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
  return () => granted;
}

/**
 * Hides every other Vulkan driver from engines that cannot be told an adapter: they take what Dawn would.
 * @returns whether Dawn's own choice is now the adapter
 */
export async function hideOthers(wanted: AdapterDescription): Promise<boolean> {
  const chosen = async (): Promise<boolean> => {
    const info = await byDefault();
    return info !== undefined && sameAdapter(info, wanted.info);
  };
  if (await chosen()) return true;
  if (wanted.backend !== 'vulkan' || process.platform === 'win32') return false;
  for (const manifest of manifests()) {
    process.env['VK_DRIVER_FILES'] = manifest;
    process.env['VK_ICD_FILENAMES'] = manifest;
    if (await chosen()) return true;
  }
  return false;
}

/** What Dawn gives to those who name no adapter. */
async function byDefault(): Promise<BenchAdapter | undefined> {
  const { create, globals } = await dawn();
  Object.assign(globalThis, globals);
  const gpu = create([FEATURES]);
  kept.push(gpu);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  return adapter?.info;
}

async function dawn(): Promise<Dawn> {
  const name = 'webgpu'; // through a variable: it is the user's own package
  return (await import(name)) as Dawn;
}

/** Every driver's manifest, those that were named alone where some were. */
function manifests(): string[] {
  const named = process.env['VK_DRIVER_FILES'] ?? process.env['VK_ICD_FILENAMES'];
  if (named) return named.split(':');
  return ICD_FOLDERS.flatMap(folder => {
    try {
      return readdirSync(folder)
        .filter(file => file.endsWith('.json'))
        .map(file => join(folder, file));
    } catch {
      return []; // no such folder
    }
  });
}
