/** Kernel tests once more, in a page of headless Chromium: its own Dawn, on SwiftShader. `npx vitest --config` this file. */
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { CHROMIUM_FLAGS, chromiumPath } from './test/support/chromium.ts';
import { patience } from './test/support/patience.ts';
import { wgslAsText } from './vitest.config.ts';

const executablePath = chromiumPath();

/** test/support/gpu.ts asks Node's Dawn for devices; in a page its twin asks the browser. */
const pageDevice = {
  name: 'page-device',
  enforce: 'pre' as const,
  resolveId(id: string) {
    return /(^|\/)gpu\.ts$/.test(id) && !id.includes('/tensor/')
      ? new URL('test/support/gpu-page.ts', import.meta.url).pathname
      : null;
  },
};

export default defineConfig({
  plugins: [wgslAsText, pageDevice],
  test: {
    name: 'browser',
    include: ['test/kernels/**/*.test.ts'],
    // The one reads the folder of kernels and computes nothing, the other needs a device without Dawn's checks, which pages never get.
    exclude: ['test/kernels/full-size-windows.test.ts', 'test/kernels/fuzz.test.ts'],
    setupFiles: ['test/support/all-kernels.ts'],
    reporters: ['./test/support/reporter.ts'],
    // Two pages: the browser builds the shaders of each on one core.
    maxWorkers: 2,
    testTimeout: patience(),
    hookTimeout: patience(),
    browser: {
      enabled: true,
      connectTimeout: patience(),
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath, args: [...CHROMIUM_FLAGS] } }),
      instances: [{ browser: 'chromium' }],
    },
  },
});
