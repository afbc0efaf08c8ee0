import { simulatePart } from './seeds.ts'

simulatePart(4, 'test/simulation/part-1.test.ts')
