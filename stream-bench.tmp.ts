import { existsSync, openSync, writeSync, closeSync } from 'node:fs';
import { create, globals } from 'webgpu';
Object.assign(globalThis, globals);
const R = process.env.TREE ?? '/tmp/w/stream';
const { Gpu } = await import(`${R}/src/gpu/device.ts`);
const { Weights } = await import(`${R}/src/nn/weights.ts`);
const { UNet2DConditionModel, parseUNetConfig, timestepFeatures } = await import(`${R}/src/models/stable-diffusion/index.ts`);
const { Graph } = await import(`${R}/src/tensor/graph.ts`);
const { DeviceTensor } = await import(`${R}/src/tensor/device-tensor.ts`);
const { fullSize } = await import(`${R}/test/support/fake-weights.ts`);
const { openSafetensors } = await import(`${R}/src/io/safetensors.ts`);
const { fileSource } = await import(`${R}/src/node/files.ts`);
const dawn = create(['enable-dawn-features=allow_unsafe_apis']);
const FILE = '/tmp/w/sb/unet.safetensors';
const { config, source } = fullSize('unet');
if (!existsSync(FILE)) {
  let at = 0; const header: any = {};
  for (const t of source.tensors.values()) { header[t.name] = { dtype: 'F16', shape: t.shape, data_offsets: [at, at + t.byteLength] }; at += t.byteLength; }
  let text = JSON.stringify(header); text += ' '.repeat((8 - text.length % 8) % 8);
  const f = openSync(FILE, 'w'); const n = new Uint8Array(8); new DataView(n.buffer).setBigUint64(0, BigInt(text.length), true);
  writeSync(f, n); writeSync(f, text);
  for (const t of source.tensors.values()) { const b = new Uint8Array(t.byteLength); await source.read(t.name, 0, b); let o = 0; while (o < b.length) o += writeSync(f, b, o, b.length - o); }
  closeSync(f); console.log('written', at);
}
const gpu = await Gpu.request({ gpu: dawn });
console.log(gpu.caps.description);
const file = await openSafetensors(await fileSource(FILE));
const dtype = process.env.DTYPE ?? 'float16';
const [h, w] = (process.env.SIZE ?? '8x8').split('x').map(Number);
const steps = Number(process.env.STEPS ?? 3);
let reference: Float32Array | undefined;
for (const how of (process.env.CASES ?? 'resident,memory,file,host').split(',')) {
  const weights = Weights.open(file); const model = new UNet2DConditionModel(weights, parseUNetConfig(config, 'unet'));
  const loadStart = performance.now(); const cpu0 = process.cpuUsage();
  let held: any = how === 'host' ? weights.hold() : undefined;
  if (how === 'memory') { const copy = weights.hold(); for (const n of file.tensors.keys()) await copy.hold(n); held = { label: 'memory', tensors: copy.tensors, read: (n: string, s: number, i: Uint8Array) => copy.read(n, s, i) }; }
  const limits = { slotBytes: process.env.SLOT ? Number(process.env.SLOT) : undefined, residentBytes: Number(process.env.RESIDENT ?? 0) };
  const loaded = how === 'resident' ? await weights.load(gpu, { dtype }) : await weights.stream(gpu, { dtype, held, ...limits });
  const c = process.cpuUsage(cpu0);
  console.log(how, 'load', ((performance.now() - loadStart) / 1e3).toFixed(1), 's, cpu', ((c.user + c.system) / 1e6).toFixed(1), 'bytes', (loaded.bytes / 1e6).toFixed(1), 'host', ((loaded.hostBytes ?? 0) / 1e6).toFixed(1));
  const graph = new Graph(gpu, { dtype });
  const values = (n: number, s: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + s));
  const x = DeviceTensor.from(gpu, values(4 * h * w, 1), [1, 4, h, w]);
  const features = timestepFeatures([481], model.config);
  const time = DeviceTensor.from(gpu, features, [1, features.length]);
  const ctx = graph.input(DeviceTensor.from(gpu, values(77 * 1024, 2), [1, 77, 1024]));
  const kv = model.context(ctx);
  // keys and values in a program of their own, as the pipeline does
  const kvs = kv.map((k: any) => { const t = DeviceTensor.create(gpu, k.tensor.shape, k.tensor.dtype); graph.store(k.tensor, t); return t; });
  const g2 = new Graph(gpu, { dtype });
  const out = model.forward(g2.input(x), g2.input(time), kvs.map((t: any) => ({ tensor: g2.input(t) })));
  const y = DeviceTensor.create(gpu, out.shape, out.dtype); g2.store(out, y);
  const plans = [await graph.compile(), await g2.compile()];
  const [context, step] = plans.map((p: any) => { const s = p.stream?.prepare(p); return () => s ? s.run({ check() {} }) : p.run(); });
  await context(); await gpu.idle();
  for (let i = 0; i < steps; i++) {
    const t = performance.now(); const c0 = process.cpuUsage();
    await step(); const submitted = performance.now() - t; await gpu.idle();
    const c = process.cpuUsage(c0);
    console.log(how, 'step', i, ((performance.now() - t) / 1e3).toFixed(2), 's, submitted after', (submitted / 1e3).toFixed(2), 'cpu', ((c.user + c.system) / 1e6).toFixed(2), 'rss', (process.memoryUsage().rss / 1e6).toFixed(0));
  }
  const result = await y.read(); reference ??= result;
  console.log(how, 'same bits', result.every((v: number, i: number) => v === reference![i]), result.slice(0, 3));
  for (const p of plans) p.dispose(); loaded.dispose(); for (const t of kvs) t.dispose();
}
process.exit(0);
