/**
 * onnxruntime-node's WebGPU provider as a peer. Operands are uploaded by a model that does nothing and stay in buffers of the
 * device, and so do results: nothing is copied in a run. What waits for the device is a second model, which brings one
 * element to the host.
 */
import { readFileSync } from 'node:fs';
import { floatsOfHalves, halvesOfFloats } from '../../src/core/convert-bits.ts';
import type { Engine, Form, PeerProblem, Prepared } from './engine.ts';
import { type OnnxType, onnxFile, wholeNumbers } from './onnx-file.ts';
import { type OnnxForm, onnxForms } from './onnx-forms.ts';

interface Tensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | Uint16Array;
  dispose(): void;
}

type Tensors = Record<string, Tensor>;

interface Session {
  readonly inputMetadata: readonly { name: string; type: OnnxType; shape: number[] }[];
  readonly outputNames: readonly string[];
  run(feeds: Tensors): Promise<Tensors>;
  release(): Promise<void>;
}

/** What we use of onnxruntime-node. */
export interface Ort {
  listSupportedBackends(): { name: string; bundled: boolean }[];
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: new (
    type: string,
    data: Float32Array | Uint16Array | BigInt64Array,
    dims: readonly number[],
  ) => Tensor;
}

/** Where outputs go, the layout that convolutions prefer, and whether the processor may run what the provider lacks. */
interface SessionKind {
  readonly output: 'gpu-buffer' | 'cpu';
  readonly layout?: 'NCHW' | 'NHWC' | undefined;
  readonly fallback?: boolean;
}

/** The package, and whether its Dawn shall check indices, which by its own default it does not. */
interface Runtime {
  readonly ort: Ort;
  readonly checked: boolean;
}

/** The engine over a loaded package. */
export function onnxruntime(
  ort: Ort,
  version: string,
  { half, trusted }: { readonly half: boolean; readonly trusted: boolean },
): Engine | { readonly missing: string } {
  const runtime = { ort, checked: !trusted };
  if (!ort.listSupportedBackends().some(({ name }) => name === 'webgpu')) {
    return { missing: `onnxruntime-node ${version} has no WebGPU provider for ${process.platform} ${process.arch}` };
  }
  const forms: Engine['forms'] = problem => {
    if (problem.half && !half) return { missing: 'the adapter has no f16' };
    return onnxForms(problem).map(
      (form): Form => ({ name: form.name, prepare: () => prepared(runtime, form, problem) }),
    );
  };
  return { package: 'onnxruntime-node', version, forms, network: file => network(runtime, file) };
}

function session(
  { ort, checked }: Runtime,
  model: Uint8Array,
  { output, layout, fallback = false }: SessionKind,
): Promise<Session> {
  return ort.InferenceSession.create(model, {
    executionProviders: [{ name: 'webgpu', enableRobustness: checked, ...(layout && { preferredLayout: layout }) }],
    preferredOutputLocation: output,
    logSeverityLevel: 3,
    extra: { session: { disable_cpu_ep_fallback: fallback ? '0' : '1' } },
  });
}

async function prepared(runtime: Runtime, form: OnnxForm, problem: PeerProblem): Promise<Prepared> {
  const type = problem.half ? 'float16' : 'float32';
  const open: Session[] = [];
  const create = async (model: Uint8Array, kind: SessionKind): Promise<Session> => {
    const made = await session(runtime, model, kind);
    open.push(made);
    return made;
  };
  const feeds: Tensors = {};
  for (const { name, dims, data } of form.inputs) feeds[name] = await uploaded(runtime.ort, type, dims, data, create);
  const model = onnxFile({ ...form.graph, inputs: form.inputs.map(({ name, dims }) => ({ name, dims, type })) });
  const runner = await create(model, { output: 'gpu-buffer', layout: form.layout });
  const dims = form.graph.output.dims;
  const probe = await create(probeOf(dims, type), { output: 'cpu' });
  const whole = await create(identity(dims, type), { output: 'cpu' });
  let last: Tensor | undefined;
  return {
    run: async times => {
      for (let i = 0; i < times; i++) {
        last?.dispose();
        ({ y: last } = await runner.run(feeds));
      }
      if (last) await probe.run({ x: last });
    },
    result: async () => {
      const { y } = last ? await whole.run({ x: last }) : {};
      const data = y?.data ?? new Float32Array();
      return form.arranged(data instanceof Float32Array ? data : floatsOfHalves(data));
    },
    dispose: async () => {
      for (const tensor of [last, ...Object.values(feeds)]) tensor?.dispose();
      for (const one of open) await one.release();
    },
  };
}

/** Values in a buffer of the device. */
async function uploaded(
  ort: Ort,
  type: OnnxType,
  dims: readonly number[],
  data: Float32Array<ArrayBuffer>,
  create: (model: Uint8Array, kind: SessionKind) => Promise<Session>,
): Promise<Tensor> {
  const up = await create(identity(dims, type), { output: 'gpu-buffer' });
  const { y } = await up.run({ x: new ort.Tensor(type, type === 'float16' ? halvesOfFloats(data) : data, dims) });
  if (!y) throw new TypeError('onnxruntime-node gave no output');
  return y;
}

function identity(dims: readonly number[], type: OnnxType): Uint8Array {
  const nodes = [{ op: 'Identity', inputs: ['x'], output: 'y' }];
  return onnxFile({ nodes, inputs: [{ name: 'x', dims, type }], output: { name: 'y', dims, type } });
}

/** The first element. */
function probeOf(dims: readonly number[], type: OnnxType): Uint8Array {
  const constants = [
    wholeNumbers(
      'from',
      dims.map(() => 0),
    ),
    wholeNumbers(
      'to',
      dims.map(() => 1),
    ),
  ];
  const nodes = [{ op: 'Slice', inputs: ['x', 'from', 'to'], output: 'y' }];
  return onnxFile({
    nodes,
    constants,
    inputs: [{ name: 'x', dims, type }],
    output: { name: 'y', dims: dims.map(() => 1), type },
  });
}

/** An exported network with made-up inputs; what works on shapes runs on the processor. */
async function network(runtime: Runtime, file: string): Promise<Prepared> {
  const runner = await session(runtime, readFileSync(file), { output: 'gpu-buffer', fallback: true });
  const open = [runner];
  const create = async (model: Uint8Array, kind: SessionKind): Promise<Session> => {
    const made = await session(runtime, model, kind);
    open.push(made);
    return made;
  };
  const feeds: Tensors = {};
  for (const { name, type, shape } of runner.inputMetadata) {
    const count = shape.reduce((a, b) => a * b, 1);
    feeds[name] =
      type === 'int64'
        ? new runtime.ort.Tensor(type, new BigInt64Array(count).fill(17n), shape)
        : await uploaded(runtime.ort, type, shape, new Float32Array(count).map(noise), create);
  }
  const [watched = ''] = runner.outputNames;
  let outputs: Tensors = {};
  let probe: Session | undefined;
  return {
    run: async times => {
      for (let i = 0; i < times; i++) {
        for (const tensor of Object.values(outputs)) tensor.dispose();
        outputs = await runner.run(feeds);
      }
      const last = outputs[watched];
      if (!last) return;
      probe ??= await create(probeOf(last.dims, 'float32'), { output: 'cpu' });
      await probe.run({ x: last });
    },
    result: async () => {
      const last = outputs[watched];
      if (!last) return Float32Array.of(Number.NaN);
      const { y } = await (await create(identity(last.dims, 'float32'), { output: 'cpu' })).run({ x: last });
      return y?.data instanceof Float32Array ? y.data : Float32Array.of(Number.NaN);
    },
    dispose: async () => {
      for (const tensor of Object.values(outputs)) tensor.dispose();
      for (const one of open) await one.release();
    },
  };
}

/** Between -0.5 and 0.5. */
function noise(_: number, i: number): number {
  return (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24 - 0.5;
}
