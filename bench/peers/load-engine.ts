/** An engine out of the folder that its packages were installed to, on the adapter that is raced on. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import type { BenchAdapter, PeerName } from '../schema.ts';
import type { Engine } from './engine.ts';
import { type Jax, jax } from './jax.ts';
import { type Ort, onnxruntime } from './onnxruntime.ts';
import { findAdapter, hideOthers, inWords, pretendPage, sameAdapter } from './peer-adapter.ts';
import { type Tf, tfjs } from './tfjs.ts';

/** An engine with the adapter that it has. */
export interface Loaded {
  readonly engine: Engine;
  readonly adapter: BenchAdapter;
  /** The adapter as its driver calls it. */
  readonly driverName: string;
}

/** Where the packages lie. */
export interface Installed {
  /** With node_modules in it. */
  readonly folder: string;
  readonly version: string;
}

/** What it shall run on. */
export interface Wanted {
  /** Undefined for Dawn's own choice. */
  readonly adapter: BenchAdapter | undefined;
  /** Without Dawn's checks of indices. */
  readonly trusted: boolean;
}

/**
 * Loads an engine.
 * @returns why it cannot run, where it cannot
 */
export async function loadEngine(
  name: PeerName,
  { folder, version }: Installed,
  { adapter: wanted, trusted }: Wanted,
): Promise<Loaded | { readonly missing: string }> {
  if (!existsSync(join(folder, 'node_modules'))) {
    return { missing: `its packages are not whole: delete ${folder}, and they are fetched anew` };
  }
  const found = await findAdapter(wanted);
  if (!found) return { missing: `no adapter of this machine is ${wanted ? inWords(wanted) : 'in reach of WebGPU'}` };
  const half = found.features.includes('shader-f16');
  const load = createRequire(join(folder, 'package.json'));
  const { info } = found;
  const driverName = found.name;
  if (name === 'onnxruntime') {
    if (!(await hideOthers(found))) return { missing: `onnxruntime-node cannot be told to take ${inWords(info)}` };
    process.env['ORT_DISABLE_TELEMETRY'] = '1';
    const engine = onnxruntime(load('onnxruntime-node') as Ort, version, { half, trusted });
    return 'missing' in engine ? engine : { engine, adapter: info, driverName };
  }
  const granted = await pretendPage(found, trusted);
  const engine = name === 'tfjs' ? await openTfjs(load, version) : await openJax(load, version, half);
  if ('missing' in engine) return engine;
  const adapter = granted();
  if (adapter && sameAdapter(adapter, info)) return { engine, adapter, driverName };
  return { missing: `it took ${adapter ? inWords(adapter) : 'no adapter'}, and the race is on ${inWords(info)}` };
}

async function openTfjs(load: NodeJS.Require, version: string): Promise<Engine | { readonly missing: string }> {
  const tf = load('@tensorflow/tfjs-core') as Tf;
  load('@tensorflow/tfjs-backend-webgpu');
  if ((await tf.setBackend('webgpu')) && tf.getBackend() === 'webgpu') return tfjs(tf, version);
  return { missing: 'TensorFlow.js did not start its WebGPU backend' };
}

async function openJax(
  load: NodeJS.Require,
  version: string,
  half: boolean,
): Promise<Engine | { readonly missing: string }> {
  const j = load('@jax-js/jax') as Jax;
  if (!(await j.init('webgpu')).includes('webgpu')) return { missing: 'jax-js did not start its WebGPU backend' };
  j.defaultDevice('webgpu');
  return jax(j, version, half);
}
