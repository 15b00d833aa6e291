/** WGSL files, compiled as they are. */
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import process from 'node:process';
import { describeAdapter } from '../../src/gpu/grant.ts';
import { specialize } from '../../src/gpu/specialize.ts';
import type { PipelineLog } from './absent-card.ts';
import { LabError } from './cards.ts';

const WANTED = ['shader-f16', 'subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;
const LIBS = new URL('../../wgsl/lib/', import.meta.url);

/** Dawn crashes once its entry point is collected. */
const kept: unknown[] = [];

/** The file with the libs that its head names and that it does not hold already; storage as f16, or f32. */
export function completeWgsl(text: string, dtype: 'float16' | 'float32'): string {
  const head = text.replace(/\n\/\/ ?/g, ' ');
  const named =
    /Needs: ([^.]*)\./
      .exec(head)?.[1]
      .split(/, */)
      .map(name => name.trim()) ?? [];
  const form = dtype === 'float16' ? 'f16' : 'f32';
  const libs = named
    .filter(name => name.startsWith('lib/'))
    .map(name => ['', `-${form}`].map(end => new URL(`${name.slice(4)}${end}.wgsl`, LIBS)).find(url => existsSync(url)))
    .flatMap(url => (url ? [readFileSync(url, 'utf8')] : []))
    .filter(lib => [...lib.matchAll(/^fn (\w+)/gm)].every(([, name]) => !new RegExp(`^fn ${name}\\b`, 'm').test(text)));
  return specialize('lab', text, libs, {});
}

/**
 * Compiles them on the card that was entered.
 * @returns how the driver calls itself
 * @throws LabError for a file that is not there or does not compile
 */
export async function compileFiles(
  files: readonly string[],
  log: PipelineLog,
  features: readonly string[],
  dtype: 'float16' | 'float32',
): Promise<string> {
  const missing = files.find(file => !existsSync(file));
  if (missing) throw new LabError(`there is no file ${missing}`);
  const { create, globals } = await import('webgpu'); // the card was entered by then
  Object.assign(globalThis, globals);
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
  const gpu = create([`enable-dawn-features=${features.join(',')}`]);
  kept.push(gpu);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new LabError('the driver gives no adapter');
  const device = await adapter.requestDevice({
    requiredFeatures: WANTED.filter(name => adapter.features.has(name)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(LIMITS.map(name => [name, adapter.limits[name]])),
  });
  log.watch(device);
  for (const file of files) {
    const label = basename(file, '.wgsl');
    const module = device.createShaderModule({ label, code: completeWgsl(readFileSync(file, 'utf8'), dtype) });
    const compute = { module, entryPoint: 'main' };
    await device.createComputePipelineAsync({ label, layout: 'auto', compute }).catch((error: unknown) => {
      throw new LabError(`${file} does not compile: ${error instanceof Error ? error.message : error}`);
    });
  }
  return adapter.info.description || describeAdapter(adapter.info);
}
