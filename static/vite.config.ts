import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

const service = process.env.WHISPER_SERVICE_URL ?? 'http://127.0.0.1:8000'

// The service hands out this folder below /static, so the built page needs no route of its own for its assets.
export default defineConfig(({ command }) => ({
  root: 'src',
  base: command === 'build' ? './' : '/',
  plugins: [vue()], // a line break between two elements of a template is no space: write {{ ' ' }} where one is needed
  resolve: { alias: { 'url-parse': new URL('src/url_parse.ts', import.meta.url).pathname } }, // of tus-js-client, for browsers without URL
  define: { __VUE_OPTIONS_API__: false, __VUE_PROD_DEVTOOLS__: false, __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: false },
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    minify: 'terser',
    terserOptions: { ecma: 2020, module: true, compress: { passes: 3 } }, // 3 kB less than by default, compressed
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': service, '/static': service, '/schema': service } },
}))
