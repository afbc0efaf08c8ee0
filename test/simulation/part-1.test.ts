import { simulatePart } from './seeds.ts'

simulatePart(1, 'test/simulation/part-1.test.ts')
