import { statSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take longest, the longest first: begun late, one of them would run on while the other worker has nothing left. */
const LONG = ['test/pipeline/golden.test.ts', 'test/cli/edit.test.ts', 'test/package/page.test.ts'];

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
