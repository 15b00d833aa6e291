/** Compute pipelines: one for each distinct WGSL text, specialised once, compiled asynchronously, with errors that show the line. */
import { ShaderError } from '../core/errors.ts';
import { COMPUTE_STAGE } from './flags.ts';
import { type Program, specialize } from './specialize.ts';
import type { WebGpuBindGroupLayout, WebGpuComputePipeline, WebGpuDevice } from './webgpu-types.ts';

/** How a kernel uses one bound buffer. `update` reads and writes it. */
export type Access = 'read' | 'write' | 'update';

/** One compiled kernel with the layout that its bind groups follow: binding 0 is the uniform block, then `access` in order. */
export interface Pipeline {
  readonly pipeline: WebGpuComputePipeline;
  readonly layout: WebGpuBindGroupLayout;
}

/** Compiles each distinct WGSL text once per device, asynchronously and in parallel. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  /** By what a text is made of, so that it is made once. */
  readonly #programs = new Map<string, Promise<Pipeline>>();
  readonly #built = new WeakSet<Promise<Pipeline>>();
  /** Numbers that stand for source texts in those keys. */
  readonly #texts = new Map<string, number>();
  /** Milliseconds spent waiting for compilers, summed over pipelines. */
  compileMs = 0;

  constructor(device: WebGpuDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#pipelines.size;
  }

  /**
   * The pipeline of a kernel with its values and libs; its text is made when they are met for the first time.
   *
   * @param access one entry a binding, from binding 1 on
   * @throws ShaderError with the kernel, the message and the lines around it; for values that the text does not declare
   */
  of(program: Program, access: readonly Access[]): Promise<Pipeline> {
    const { kernel, source, libs, values } = program;
    const texts = [source, ...libs].map(text => this.#numberOf(text));
    const key = `${kernel} ${texts} ${access} ${JSON.stringify(values)}`;
    const known = this.#programs.get(key);
    if (known) return known;
    const made = this.get(kernel, specialize(kernel, source, libs, values), access);
    this.#programs.set(key, made);
    return made;
  }

  #numberOf(text: string): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, this.#texts.size);
    return this.#texts.size - 1;
  }

  /**
   * @param label kernel stem, for messages and GPU tools
   * @param code complete WGSL
   * @param access one entry a binding, from binding 1 on
   * @throws ShaderError with the kernel, the message and the lines around it
   */
  get(label: string, code: string, access: readonly Access[]): Promise<Pipeline> {
    const key = `${access.join()}\n${code}`;
    const known = this.#pipelines.get(key);
    if (known) return known;
    const made = this.#compile(label, code, access);
    this.#pipelines.set(key, made);
    made.then(
      () => this.#built.add(made),
      () => undefined,
    );
    return made;
  }

  /** Whether what `of` or `get` returned has settled well. */
  isBuilt(pipeline: Promise<Pipeline>): boolean {
    return this.#built.has(pipeline);
  }

  async #compile(label: string, code: string, access: readonly Access[]): Promise<Pipeline> {
    const start = performance.now();
    const layout = this.#layout(access);
    // What this scope catches comes again, with the lines, where the pipeline is refused.
    this.#device.pushErrorScope('validation');
    const module = this.#device.createShaderModule({ label, code });
    this.#device.popErrorScope().catch(() => {});
    try {
      const pipeline = await this.#device.createComputePipelineAsync({
        label,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      this.compileMs += performance.now() - start;
      return { pipeline, layout };
    } catch (cause) {
      throw await shaderError(label, code, module, cause);
    }
  }

  #layout(access: readonly Access[]): GPUBindGroupLayout {
    const key = access.map(a => (a === 'read' ? 'r' : 'w')).join('');
    const known = this.#layouts.get(key);
    if (known) return known;
    const storage = access.map((a, i): GPUBindGroupLayoutEntry => {
      const type = a === 'read' ? 'read-only-storage' : 'storage';
      return { binding: i + 1, visibility: COMPUTE_STAGE, buffer: { type } };
    });
    const uniform: GPUBindGroupLayoutEntry = {
      binding: 0,
      visibility: COMPUTE_STAGE,
      buffer: { type: 'uniform' },
    };
    const layout = this.#device.createBindGroupLayout({ entries: [uniform, ...storage] });
    this.#layouts.set(key, layout);
    return layout;
  }
}

async function shaderError(label: string, code: string, module: GPUShaderModule, cause: unknown): Promise<ShaderError> {
  const info = await module.getCompilationInfo();
  const first = info.messages.find(m => m.type === 'error');
  const where = first ? `\n${excerpt(code, first.lineNum)}` : '';
  return new ShaderError({
    op: label,
    problem: 'the device refused the kernel',
    received: `${first?.message ?? (cause instanceof Error ? cause.message : String(cause))}${where}`,
    path: first ? `${label}.wgsl:${first.lineNum}` : `${label}.wgsl`,
    fix: 'This is a defect of the library or of the driver: report it with the adapter name.',
    cause,
  });
}

/** The line and two around it, numbered. */
function excerpt(code: string, line: number): string {
  const lines = code.split('\n');
  const from = Math.max(0, line - 3);
  return lines
    .slice(from, line + 2)
    .map((text, i) => `${from + i + 1} | ${text}`)
    .join('\n');
}
