import { statSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take longest, the longest first: begun late, one of them would run on while the other worker has nothing left. */
export const LONG: readonly string[] = [
  'test/package/page.test.ts',
  'test/examples/guide.test.ts',
  'test/pipeline/golden.test.ts',
  'test/pipeline/orchard.test.ts',
  'test/cli/edit.test.ts',
  'test/pipeline/guide/guide-run.test.ts',
  'test/cli/guide.test.ts',
  'test/pipeline/lifecycle.test.ts',
  'test/pipeline/pictures-and-options.test.ts',
  'test/pipeline/inputs-and-runs.test.ts',
  'test/pipeline/guide/guide.test.ts',
  'test/kernels/gemm.test.ts',
  'test/outside/model-folders.test.ts',
  'test/pipeline/dummies.test.ts',
  'test/kernels/attention.test.ts',
  'test/examples/examples.test.ts',
  'test/scripts/demo.test.ts',
  'test/runtimes/firefox.test.ts',
  'test/models/full-size.test.ts',
  'test/readme.test.ts',
  'test/models/stable-diffusion/vae.test.ts',
  'test/models/stable-diffusion/unet.test.ts',
];

/** The long files in their order, then the others, the largest first. Every run has the same order, cached times or not. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONG.findIndex(name => moduleId.endsWith(name));
      return found < 0 ? LONG.length : found;
    };
    const size = ({ moduleId }: TestSpecification) => statSync(moduleId).size;
    return files.toSorted((a, b) => place(a) - place(b) || size(b) - size(a) || a.moduleId.localeCompare(b.moduleId));
  }
}
