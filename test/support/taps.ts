/**
 * Looks into a network: keeps what every module returned at its first call, and runs a graph with some of those results
 * stored. Names are those of the checkpoint, so that they meet the names of hooks on the reference's modules.
 */
import { expect } from 'vitest';
import type { Tuning } from '../../src/kernels/op.ts';
import { Module } from '../../src/nn/module.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import type { Graph } from '../../src/tensor/graph.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { relativeL2 } from './close.ts';
import type { Golden, GoldenTensor } from './golden.ts';

type Method = (...args: unknown[]) => unknown;

/** Every object with a path, below and including `root`; each once. */
export function modulesOf(root: Module): Module[] {
  const found = new Set<Module>();
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(walk);
    else if (isModule(value) && !found.has(value)) {
      found.add(value);
      Object.values(value).forEach(walk);
    }
  };
  walk(root);
  return [...found];
}

function isModule(value: unknown): value is Module {
  return value instanceof Module;
}

/**
 * Wraps `forward` of every module. Of modules that share a path the outermost counts.
 *
 * @param also further methods that return a tensor, as 'path:method'
 * @returns results by path, filled while the model records
 */
export function tap(root: Module, also: readonly string[] = []): Map<string, Tensor> {
  const seen = new Map<string, Tensor>();
  const open: string[] = [];
  const wrap = (module: Module, name: string) => {
    const methods = module as unknown as Record<string, Method>;
    const original = methods[name];
    methods[name] = (...args) => {
      const inner = open.includes(module.path);
      open.push(module.path);
      const result = original.apply(module, args);
      open.pop();
      if (!inner && result instanceof Tensor && !seen.has(module.path)) seen.set(module.path, result);
      return result;
    };
  };
  const extra = new Set(also);
  for (const module of [...modulesOf(root)]) {
    if ('forward' in module) wrap(module, 'forward');
    for (const spec of extra) {
      const [path, name] = spec.split(':');
      if (path === module.path && name in module) wrap(module, name);
    }
  }
  return seen;
}

/** Compiles, runs once and reads tensors. */
export async function evaluate(
  graph: Graph,
  wanted: ReadonlyMap<string, Tensor>,
  options: { fuse: boolean; tuning?: Tuning | undefined },
): Promise<Map<string, Float32Array>> {
  const targets = new Map<Tensor, DeviceTensor>();
  for (const tensor of wanted.values()) {
    if (targets.has(tensor)) continue;
    const target = DeviceTensor.create(graph.gpu, tensor.shape, tensor.dtype);
    graph.store(tensor, target);
    targets.set(tensor, target);
  }
  const plan = await graph.compile(options);
  plan.run();
  const values = new Map<string, Float32Array>();
  for (const [name, tensor] of wanted) values.set(name, await (targets.get(tensor) as DeviceTensor).read());
  plan.dispose();
  for (const target of targets.values()) target.dispose();
  return values;
}

/** A token tensor as the map that the reference has there. */
export function asGolden(tensor: Tensor, golden: GoldenTensor): Tensor {
  const [, , height, width] = golden.shape;
  return golden.shape.length === 4 && tensor.shape.length === 3 ? tensor.image(height, width) : tensor;
}

/** Fails naming the first tensor, in the reference's order of computation where `order` gives it, that leaves the band. */
export function expectAllClose(values: ReadonlyMap<string, Float32Array>, golden: Golden, tolerance: number): void {
  const errors = [...values].map(([name, actual]) => {
    const { data } = golden.tensor(name);
    expect(actual.length, `${name}: length`).toBe(data.length);
    return { name, error: relativeL2(actual, data) };
  });
  const first = errors.find(({ error }) => !(error <= tolerance));
  const worst = errors.reduce((a, b) => (b.error > a.error ? b : a));
  const message = `first out of the band of ${tolerance}: ${first?.name} with ${first?.error}; worst: ${worst.name} with ${worst.error}`;
  expect(first, message).toBeUndefined();
}
