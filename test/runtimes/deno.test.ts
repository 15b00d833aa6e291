/** The packed package in Deno: by its own WebGPU (wgpu), and by the package `webgpu` (Dawn). Fetched, so only with everything asked for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectQuickEdit } from '../support/edits.ts';
import { answerOf, projectOf, type RuntimeProject } from '../support/runtimes.ts';
import { shadersWithoutSubgroups } from '../support/shader-variants.ts';
import { ROOT } from '../support/tarball.ts';

const MODEL = join(ROOT, 'models/orchard');
/** What docs/in-the-browser.md says that a script needs. */
const FILES = ['--allow-read'];
const DAWN = [...FILES, '--allow-ffi', '--allow-env', '--allow-sys'];
type Made = Record<'picture' | 'mask', number[]> & {
  readonly caps: Record<string, unknown>;
  readonly refused?: string;
};

describe.runIf(process.env.PENTIMENTO_FULL !== undefined)('in Deno', () => {
  let project: RuntimeProject;
  beforeAll(() => {
    project = projectOf('deno');
  });
  afterAll(() => project?.remove());

  it('edits as recorded by its own WebGPU, of whose software it is told', async () => {
    const made = await answerOf<Made>(project.run('quick-edit.mjs', ['own', MODEL], FILES));
    expect(made.refused).toBeUndefined();
    await expectQuickEdit(made);
    expect(made.caps['subgroupSize']).toBe(0);
    const { description, software } = made.caps;
    expect(software).toBe(/llvmpipe|swiftshader/i.test(String(description)));
  });

  it('edits as recorded by the package webgpu', async () => {
    await expectQuickEdit(await answerOf<Made>(project.run('quick-edit.mjs', ['node', MODEL], DAWN)));
  });

  it('says both ways where the package webgpu is not installed', async () => {
    project.drop('webgpu');
    const { refused } = await answerOf<Made>(project.run('quick-edit.mjs', ['node', MODEL], DAWN));
    expect(refused).toMatchInlineSnapshot(
      `"requestGpu: the package 'webgpu' is not installed. Run: npm install webgpu; or use this runtime's own WebGPU, by Gpu.request() of 'pentimento'"`,
    );
  });

  it('compiles every shader that needs no subgroups: naga refuses none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pentimento-deno-'));
    writeFileSync(join(folder, 'shaders.json'), JSON.stringify(shadersWithoutSubgroups()));
    project.bring('compile-shaders.mjs');
    const refused = await answerOf<unknown>(project.run('compile-in-deno.mjs', [join(folder, 'shaders.json')], FILES));
    rmSync(folder, { recursive: true });
    expect(refused).toEqual([{ name: 'broken', message: expect.stringMatching(/expected to be `u32`/) }]);
  });
});
