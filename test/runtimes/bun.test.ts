/** The packed package in Bun, which has no WebGPU: by the packages `webgpu` and `bun-webgpu`. Fetched, so only with everything asked for. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectQuickEdit } from '../support/edits.ts';
import { answerOf, projectOf, type RuntimeProject } from '../support/runtimes.ts';
import { ROOT } from '../support/tarball.ts';

const MODEL = join(ROOT, 'models/orchard');
type Made = Record<'picture' | 'mask', number[]> & {
  readonly caps: Record<string, unknown>;
  readonly refused?: string;
};

describe.runIf(process.env.PENTIMENTO_FULL !== undefined)('in Bun', () => {
  let project: RuntimeProject;
  beforeAll(() => {
    project = projectOf('bun');
  });
  afterAll(() => project?.remove());

  it('edits as recorded by the package webgpu', async () => {
    await expectQuickEdit(await answerOf<Made>(project.run('quick-edit.mjs', ['node', MODEL])));
  });

  it('says what to do where a script asks for a navigator.gpu', async () => {
    const { refused } = await answerOf<Made>(project.run('quick-edit.mjs', ['own', MODEL]));
    expect(refused).toMatchInlineSnapshot(
      `"Gpu.request: this JavaScript runtime has no WebGPU: got navigator.gpu is undefined. In Node and Bun import { requestGpu } from 'pentimento/node' and install the 'webgpu' package; elsewhere use a runtime with WebGPU."`,
    );
  });

  it('edits as recorded by bun-webgpu, which gives a device of the default limits alone', async () => {
    project.add('bun-webgpu');
    const made = await answerOf<Made>(project.run('quick-edit.mjs', ['bun-webgpu', MODEL]));
    expect(made.refused).toBeUndefined();
    await expectQuickEdit(made);
    expect(made.caps['maxBufferBytes']).toBe(2 ** 28);
  });
});
