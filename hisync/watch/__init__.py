"""How others see that hisync is well: health and metrics by HTTP, hooks, the service manager.

Nothing here changes how the engine works, and nothing that fails here stops it.
"""
