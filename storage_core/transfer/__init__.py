"""Transfers: files, trees and objects moved in parallel, resumed, verified and counted.

One engine for all drivers and both faces. What it knows of a backend is its `Capabilities`; how
its jobs run at a time is the business of a `Team`.
"""
